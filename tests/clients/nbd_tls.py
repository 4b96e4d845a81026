"""Clients over TLS: keys, URIs, and the protocol by hand."""

import ssl
import urllib.parse

from nbd_raw import ACK, STARTTLS, Raw
from offsite import run

TEMPLATES = {
    "ca": 'cn = "an authority"\nca\ncert_signing_key\nexpiration_days = 10\n',
    "server": 'cn = "localhost"\ndns_name = "localhost"\nip_address = "127.0.0.1"\ntls_www_server\nexpiration_days = 10\n',
    "client": 'cn = "a client"\ntls_www_client\nexpiration_days = 10\n',
    "expired": 'cn = "a client of yore"\ntls_www_client\nactivation_date = "2001-01-01 00:00:00"\n'
               'expiration_date = "2002-01-01 00:00:00"\n',
}


def certificate(folder, kind, template=None, signer="ca"):
    """KIND-cert.pem and KIND-key.pem in the folder, with the names that clients look for."""
    key, cert, form = folder / f"{kind}-key.pem", folder / f"{kind}-cert.pem", folder / f"{kind}.template"
    form.write_text(TEMPLATES[template or kind])
    run("certtool", "--generate-privkey", "--key-type", "ecdsa", "--outfile", key)
    if kind == signer:
        run("certtool", "--generate-self-signed", "--load-privkey", key, "--template", form, "--outfile", cert)
    else:
        run("certtool", "--generate-certificate", "--load-privkey", key, "--template", form, "--outfile", cert,
            "--load-ca-certificate", folder / f"{signer}-cert.pem", "--load-ca-privkey", folder / f"{signer}-key.pem")


def tls_uri(disk, transport="tcp", user=None, **parameters):
    """The URI of libnbd for this disk over TLS."""
    who = f"{user}@" if user else ""
    query = {name.replace("_", "-"): value for name, value in parameters.items()}
    if transport == "unix":
        where = f"nbds+unix://{who}/{disk.id}"
        query["socket"] = disk.site.nbd_socket
    else:
        where = f"nbds://{who}localhost:{disk.site.nbd_port}/{disk.id}"
    return where + "?" + "&".join(f"{name}={urllib.parse.quote(str(value))}" for name, value in query.items())


class Secure(Raw):
    """A raw connection that has gone over to TLS."""

    def __init__(self, site, before=()):
        super().__init__(site)
        for option in before:
            self.option(option)
            assert self.reply(option)[0] == ACK
        self.option(STARTTLS)
        assert self.reply(STARTTLS) == (ACK, b"")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)
