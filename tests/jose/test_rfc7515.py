"""The examples of RFC 7515 appendix A: the signatures verify, and what has none or a shared secret is refused."""

from __future__ import annotations

from typing import Any

import pytest

from counterseal.core.limits import LIMITS
from counterseal.jose import jws, strict
from counterseal.jose.jwk import read_jwks
from counterseal.jose.refusal import TokenRefused

CLAIMS = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
RSA = {
    "kty": "RSA",
    "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS"
    "-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xs"
    "mtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    "e": "AQAB",
}
P_256 = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
P_521 = {
    "kty": "EC",
    "crv": "P-521",
    "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
    "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
}
A_1 = f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{CLAIMS}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
A_2 = (
    f"eyJhbGciOiJSUzI1NiJ9.{CLAIMS}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5"
    "jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_"
    "dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
)
A_3 = f"eyJhbGciOiJFUzI1NiJ9.{CLAIMS}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
A_4 = (
    "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8G"
    "aSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
)
A_5 = f"eyJhbGciOiJub25lIn0.{CLAIMS}."


@pytest.mark.parametrize(("compact", "jwk"), [(A_2, RSA), (A_3, P_256)], ids=["A.2 RS256", "A.3 ES256"])
def test_the_signed_claims_verify(compact: str, jwk: dict[str, Any]) -> None:
    keys = read_jwks({"keys": [jwk]}, LIMITS)
    unverified = strict.read(compact, LIMITS)
    verified = jws.verify(unverified, keys.find(unverified))
    assert verified.claims == {"iss": "joe", "exp": 1300819380, "http://example.com/is_root": True}
    with pytest.raises(TokenRefused):
        jws.verify(strict.read(compact[:-6] + "AAAAAA", LIMITS), keys.keys[0])


def test_the_signed_text_verifies_and_is_no_claims_set() -> None:
    """A.4: ES512 over the word "Payload"."""
    (key,) = read_jwks({"keys": [P_521]}, LIMITS).keys
    signed, _, signature = A_4.encode().rpartition(b".")
    jws.check_signature("ES512", key, signed, signature)
    with pytest.raises(TokenRefused):
        jws.check_signature("ES512", key, signed + b"A", signature)
    with pytest.raises(TokenRefused, match="not strict JSON"):
        strict.read(A_4, LIMITS)


def test_a_shared_secret_and_no_signature_are_refused() -> None:
    """A.1 and A.5; J-01, J-02."""
    keys = read_jwks({"keys": [RSA, P_256]}, LIMITS)
    with pytest.raises(TokenRefused) as caught:
        keys.find(strict.read(A_1, LIMITS))
    assert caught.value.code == "algorithm"
    with pytest.raises(TokenRefused, match="the signature is empty"):
        strict.read(A_5, LIMITS)


@pytest.mark.parametrize("signatures", [[A_2], [A_2, A_3]])
def test_the_json_serialization_is_refused(signatures: list[str]) -> None:
    """A.6 and A.7; J-10."""
    parts = [each.split(".") for each in signatures]
    made = ",".join(f'{{"protected":"{head}","signature":"{mark}"}}' for head, _, mark in parts)
    with pytest.raises(TokenRefused):
        strict.read(f'{{"payload":"{CLAIMS}","signatures":[{made}]}}', LIMITS)
