"""The names that things have, as types: what a body or path may hold, told to its sender by the OpenAPI document."""

from typing import Annotated, Final

from msgspec import Meta

# In Python `$` also stands before a newline at the end; the look-ahead takes that back, and means nothing elsewhere.
_END: Final = r"$(?!\n)"
PLAIN: Final = rf"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*{_END}"

UserName = Annotated[str, Meta(pattern=rf"^[a-z0-9._@+-]{{1,128}}{_END}")]
"""What one signs in with."""
TypedName = Annotated[str, Meta(min_length=1, max_length=128, pattern=PLAIN)]
"""What somebody types as a name at the sign-in: it need not be one."""
DisplayName = Annotated[str, Meta(max_length=200, pattern=PLAIN)]
"""Free text for people, without control characters; descriptions too."""
Label = Annotated[str, Meta(max_length=100, pattern=PLAIN)]
"""What a user calls a device."""
RoleName = Annotated[str, Meta(pattern=rf"^[a-z][a-z0-9:._-]{{0,63}}{_END}")]
"""A role; services map it to permissions."""
ClientId = Annotated[str, Meta(pattern=rf"^[a-z][a-z0-9.-]{{0,63}}{_END}")]
"""A client. No underscore, so that a client's id never meets a user's in ``sub``."""
AudienceName = Annotated[str, Meta(pattern=rf"^[!-~]{{1,255}}{_END}")]
"""A service that accepts tokens: printable ASCII without spaces."""
ScopeText = Annotated[str, Meta(max_length=1000, pattern=rf"^([!#-\[\]-~]+( [!#-\[\]-~]+)*)?{_END}")]
"""Scopes with one space between them (RFC 6749 section 3.3)."""
RoleNames = Annotated[list[RoleName], Meta(max_length=100)]
AudienceNames = Annotated[list[AudienceName], Meta(max_length=100)]
