"""The portal: people's own pages and the operator's, a service of the hub behind the proxy."""
