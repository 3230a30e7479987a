"""scim2-server over TLS below /scim/v2, empty: CERTIFICATE KEY TOKEN. Prints its port, serves until killed."""

import sys

from scim2_models import ScimProvider
from scim2_server.memory import InMemoryStorage
from scim2_server.service import ScimService
from scim2_server.testserver.application import BEARER_TOKEN_SCHEME, BearerTokenApplication
from scim2_server.utils import load_default_resource_types, load_default_schemas, load_default_service_provider_config
from werkzeug.serving import WSGIRequestHandler, make_server

certificate, key, token = sys.argv[1:]


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


config = load_default_service_provider_config()
config.authentication_schemes = [*(config.authentication_schemes or []), BEARER_TOKEN_SCHEME]
provider = ScimProvider.from_discovery(
    load_default_schemas().values(), load_default_resource_types().values(), config=config, policy=None
)
served = BearerTokenApplication(
    InMemoryStorage(), provider, service=ScimService(provider, secret="x" * 43), bearer_tokens=[token]
)


def application(environ, start):
    # It serves at the root and at /v2.
    environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/scim")
    return served(environ, start)


server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Handler, ssl_context=(certificate, key))
print(server.server_port, flush=True)
server.serve_forever()
