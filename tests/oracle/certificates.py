"""Certificates for a TLS server on the loopback: an authority of the tests' own, and what it signs. They are worth nothing
anywhere else. Writes tests/golden/certificates.json; needs the package `cryptography`.

    python tests/oracle/certificates.py
"""

import datetime
import hashlib
import ipaddress
import json
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HERE = pathlib.Path(__file__).resolve()
OUT = HERE.parent.parent / "golden" / "certificates.json"
DAY = lambda year: datetime.datetime(year, 1, 1, tzinfo=datetime.timezone.utc)


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(subject, key, issuer, signer, until, extensions):
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject)).issuer_name(name(issuer)).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(DAY(2020)).not_valid_after(DAY(until))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def main():
    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    own = "zoo's tests"
    ca = certificate(own, authority, own, authority, 2120, [(x509.BasicConstraints(True, None), True)])
    here = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]

    def leaf(until, names):
        return certificate("a server", server, own, authority, until, [
            (x509.BasicConstraints(False, None), True), (x509.SubjectAlternativeName(names), False)])

    key = server.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    golden = {
        "script": "tests/oracle/certificates.py",
        "script_sha256": hashlib.sha256(HERE.read_bytes()).hexdigest(),
        "authority": ca,
        "key": key,
        "good": leaf(2120, here),
        "expired": leaf(2021, here),
        "elsewhere": leaf(2120, [x509.DNSName("example.org")]),
    }
    OUT.write_text(json.dumps(golden, indent=1) + "\n")


main()
