"""Why the result is what it is: the copies of one record, and the events of one user."""

from pipeline.explain.published import open_published
from pipeline.explain.record import Copy, RecordAnswer, explain_record
from pipeline.explain.user import UserAnswer, explain_user

__all__ = ["Copy", "RecordAnswer", "UserAnswer", "explain_record", "explain_user", "open_published"]
