"""Contract suites of mount point ``juliabox.cloud``, one for each functionality.

Use one in a module of your tests::

    class TestMyMail(SendMailSuite):
        @pytest.fixture
        def mail(self, tmp_path):
            ...
"""

from juliabox_ext.testing.cloud_bucket_suite import BucketStoreSuite
from juliabox_ext.testing.cloud_compute_suite import ComputeSuite
from juliabox_ext.testing.cloud_dns_suite import DnsSuite
from juliabox_ext.testing.cloud_mail_suite import SendMailSuite

__all__ = ["BucketStoreSuite", "ComputeSuite", "DnsSuite", "SendMailSuite"]
