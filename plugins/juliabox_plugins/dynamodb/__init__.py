"""Records in Amazon DynamoDB: the plugin ``dynamodb``."""

from juliabox_plugins.dynamodb.plugin import DynamoDB, DynamoDBSettings

__all__ = ["DynamoDB", "DynamoDBSettings"]
