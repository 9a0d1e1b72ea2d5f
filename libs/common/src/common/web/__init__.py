"""The web application of a service: connexion and Flask-Injector behind a front of our own."""

import warnings

# connexion imports Starlette's test client, which would have every start of a service say that it prefers another HTTP client.
warnings.filterwarnings("ignore", message="Using `httpx` with `starlette.testclient` is deprecated")
