"""Certificates of web sites for tests: a CA, and what it issues."""
import datetime
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Certificate:
    def __init__(self, cert, key, chain):
        self.cert, self.key = cert, key
        self.chain = "".join(c.public_bytes(serialization.Encoding.PEM).decode() for c in [cert, *chain])
        self.key_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                         serialization.NoEncryption()).decode()

    def write(self, folder, name):
        """Paths of chain and key."""
        paths = os.path.join(folder, name + ".pem"), os.path.join(folder, name + ".key")
        for path, text in zip(paths, (self.chain, self.key_pem)):
            with open(path, "w") as f:
                f.write(text)
        return paths

    @property
    def der(self):
        return self.cert.public_bytes(serialization.Encoding.DER)


class Authority(Certificate):
    def __init__(self, name="Test Sites CA"):
        key = ec.generate_private_key(ec.SECP256R1())
        super().__init__(self._build(_name(name), _name(name), key, key, [], 30, True), key, [])

    def _build(self, subject, issuer, key, signer, names, days, ca, extensions=()):
        now = datetime.datetime.utcnow()
        b = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        b = b.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        b = b.not_valid_after(now + datetime.timedelta(days=days))
        b = b.add_extension(x509.BasicConstraints(ca, None), True)
        if names:
            b = b.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
        for extension in extensions:
            b = b.add_extension(extension, False)
        return b.sign(signer, hashes.SHA256())

    def issue(self, *names, kind="ec", days=10, ocsp=None, must_staple=False):
        """ocsp: URL of the responder that its CA has for it."""
        extensions = []
        if ocsp:
            extensions.append(x509.AuthorityInformationAccess(
                [x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(ocsp))]))
        if must_staple:
            extensions.append(x509.TLSFeature([x509.TLSFeatureType.status_request]))
        key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)
        return Certificate(self._build(_name(names[0]), self.cert.subject, key, self.key, names, days, False,
                                       extensions), key, [self.cert])
