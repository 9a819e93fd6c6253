"""IP addresses as a pure function of a user and a place (home or another), written as padded text of fixed width.

Every user has one home address. Most look like addresses of real access networks; a share is private, reserved, or no
address at all (one in four of them).
"""

import numpy as np
from numpy.typing import NDArray

from data_generator.events import PLACES_PER_USER
from data_generator.randomness import Words, bits, random_words, stream_key
from data_generator.settings import DataSetSettings
from data_generator.text import COLON, DOTTED_OCTETS, HEX_GROUPS, OCTETS, PAD, text_table, write_texts

IPV4_WIDTH = 16
IPV6_WIDTH = 40
_STREAM = 100
_NOT_PUBLIC_OR_MILITARY = {
    *(10, 100, 127, 169, 172, 192, 198, 203),
    *(6, 7, 11, 21, 22, 26, 28, 29, 30, 33, 55, 214, 215),
}
_FIRST_OCTETS = np.array([octet for octet in range(1, 224) if octet not in _NOT_PUBLIC_OR_MILITARY], dtype=np.uint64)
_IPV6_PREFIXES = (
    *("2a02:8108", "2a01:cb00", "2a00:23c5", "2a02:c7f", "2a01:e0a", "2003:e1", "2a02:a440", "2a00:1fa0"),
    *("2600:1700", "2601:180", "2603:8000", "2607:fb90", "2605:a601", "2804:14c", "2800:e2", "2806:2f0"),
    *("2409:4000", "2405:200", "240e:3b0", "2408:8200", "2400:2410", "2406:3003", "2402:800", "2001:e68"),
    *("2001:8003", "2403:5800", "2404:4400", "2c0f:fe38", "2c0f:f248", "2001:4200", "2a02:ed0", "2a09:bac0"),
)
_SPECIAL_IPV4 = (
    *("10.0.0.17", "10.23.4.200", "192.168.1.20", "192.168.178.33", "172.16.4.4", "100.64.12.3", "127.0.0.1"),
    *("169.254.7.7", "198.51.100.9", "203.0.113.5", "0.0.0.0", "224.0.0.251"),
    *("", "unknown", "999.12.7.1", "10.1.2"),
)
_SPECIAL_IPV6 = (
    *("fe80::1c2:3ff", "fd12:3456:789a::17", "fdc0:ffee::2", "::1", "2001:db8::5", "ff02::fb"),
    *("::ffff:8.8.8.8", "::ffff:192.168.1.9", "::ffff:81.2.69.142", "64:ff9b::808:808", "2002:808:808::1", "::"),
    *("", "2a02:::1", "fe80::g", "1:2:3:4:5:6:7:8:9"),
)


def address_width(settings: DataSetSettings) -> int:
    """Bytes of the address column, padding included."""
    return IPV6_WIDTH if settings.ipv6 > 0 else IPV4_WIDTH


def write_addresses(settings: DataSetSettings, user: Words, place: Words, target: NDArray[np.uint8]) -> None:
    """Write the address of each user at each place into ``target`` (rows x ``address_width``), padded with PAD."""
    words = random_words(user * np.uint64(PLACES_PER_USER) + place, stream_key(settings.seed, _STREAM))
    is_ipv6 = bits(words, 0, 16) < np.uint64(round(settings.ipv6 * 65_536))
    is_special = bits(words, 16, 10) < np.uint64(round(settings.special_addresses * 1024))
    target[:, IPV4_WIDTH:] = PAD
    _write_ipv4(words, target)
    six = np.flatnonzero(is_ipv6)
    if len(six):
        target[six] = _ipv6_texts(words[six], settings.seed)
    for family, texts in ((False, _SPECIAL_IPV4), (True, _SPECIAL_IPV6)):
        at = np.flatnonzero(is_special & (is_ipv6 == family))
        if len(at):
            target[at] = text_table([text.encode() for text in texts], target.shape[1])[bits(words[at], 26, 4)]


def _write_ipv4(words: Words, target: NDArray[np.uint8]) -> None:
    octets = [_FIRST_OCTETS[bits(words, 56, 8) * np.uint64(len(_FIRST_OCTETS)) >> np.uint64(8)]]
    octets += [bits(words, shift, 8) for shift in (48, 40)]
    for index, octet in enumerate(octets):
        write_texts(target[:, 4 * index : 4 * index + 4], DOTTED_OCTETS, octet)
    write_texts(target[:, 12:16], OCTETS, bits(words, 32, 8))


def _ipv6_texts(words: Words, seed: int) -> NDArray[np.uint8]:
    """Texts of IPv6 addresses: about half have all eight groups, half the form ``prefix:g:g::h``."""
    more = random_words(words, stream_key(seed, _STREAM + 1))
    texts = np.full((len(words), IPV6_WIDTH), PAD, dtype=np.uint8)
    prefixes = text_table([text.encode() + b":" for text in _IPV6_PREFIXES], 10)
    write_texts(texts[:, :10], prefixes, bits(words, 59, 5))
    groups = [bits(words, 43, 16), bits(words, 27, 16), *(bits(more, shift, 16) for shift in (48, 32, 16, 0))]
    for index, group in enumerate(groups):
        start = 10 + 5 * index
        write_texts(texts[:, start : start + 4], HEX_GROUPS, group)
        if index < len(groups) - 1:
            texts[:, start + 4] = COLON
    short = bits(more, 5, 1) == 1
    texts[short, 20:34] = PAD
    texts[short, 34] = COLON
    return texts
