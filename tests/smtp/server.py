"""A mail server for tests: tells its port, then each message that it took as a line of JSON.

    server.py plain|starttls|implicit [CERTIFICATE KEY] [USER PASSWORD]

It refuses recipients whose names begin with "refused", and says "later" to those that begin with "later".
"""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused"):
            return "550 5.1.1 no such person"
        if address.startswith("later"):
            return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        told = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None,
            "user": getattr(session.auth_data, "login", b"").decode() if session.auth_data else "",
            "text": envelope.content.decode("utf-8", "replace"),
        }
        print(json.dumps(told), flush=True)
        return "250 OK"


async def main(mode, *more):
    context = None
    if mode != "plain":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(more[0], more[1])
        more = more[2:]
    options = {}
    if more:
        wanted = tuple(text.encode() for text in more)

        def authenticator(server, session, envelope, mechanism, data):
            return AuthResult(success=(data.login, data.password) == wanted, handled=False, auth_data=data)

        options = {"auth_required": True, "authenticator": authenticator}
        options["auth_require_tls"] = mode == "starttls"
    if mode == "starttls":
        options |= {"tls_context": context, "require_starttls": True}

    def protocol():
        return SMTP(Handler(), hostname="mail.test", **options)

    tls = context if mode == "implicit" else None
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=tls)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
