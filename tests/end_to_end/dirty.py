"""Two logs with most faults of real logs. tests/reference.py computes their results."""

HEADER = b"log_id,user_id,timestamp,video_id,device_type,ip_address,watch_time(min)\n"

CRLF_AND_MARK = (
    b"\xef\xbb\xbf"
    + HEADER.replace(b"\n", b"\r\n")
    + b'''a1,ann,2026-01-01T00:00:00Z,film,tv,8.8.8.8,1.5\r
a2,bob,2026-01-01T00:00:00+01:00,"film, the ""second""",tv,2a00:1450:4001::1,2.0000005
a2,bob,2026-01-01T00:00:00Z,film,tv,2a00:1450:4001::1,2.0000015

a3,,2026-01-01,film,tv,8.8.8.8,1
 ,ann,2026-01-01,film,tv,8.8.8.8,1
a4,ann,2026-01-01,film,tv,8.8.8.8,
a5,ann,2026-01-01,film,tv,8.8.8.8,NaN
a6,ann,2026-01-01,film,tv,8.8.8.8,-5
a7,ann,2026-01-01,film,tv,8.8.8.8,1e999
a8,ann,2026-01-01,film,tv,8.8.8.8,"12,5"
a9,ann,2026-01-01,film,tv,8.8.8.8,1,extra
a10,ann,2026-01-01,film
a11,ann,2026-01-01,fi"lm,tv,192.168.1.1,3
a12,"ann,2026-01-01,film,tv,8.8.8.8,1
a13,"two
lines",2026-01-01,film,tv,no address,4
a14,\xff,2026-01-01,film,tv,8.8.8.8,1
a15,nul\x00,2026-01-01,film,tv,8.8.8.8,1
'''
    + HEADER
    + b"a16,=1+1,1767225600,film,tv,,0.1"
)

SEMICOLONS = (
    HEADER.replace(b",", b";")
    + b"""a1;ann;2026-01-02T00:00:00Z;film;tv;8.8.8.8;1.5
a1;zoe;2025-12-31T00:00:00Z;film;tv;8.8.8.8;1.5
a1;ann;not a time;film;tv;8.8.8.8;1.25
a2;bob;1767225600000;film;tv;1.1.1.1;2.0000005
a11;ann;2026-01-03;film;tv;::ffff:192.168.1.1;3.0
b1;a/b%2F../x;2026-01-01;film;tv;240.0.0.1;1000000000
b2;late;2026-01-01;film;tv;8.8.8.8;1000000000.1
"""
)
