"""The Huawei dialect by plain HTTP: a login, and requests with its token.

    huawei = Huawei(site)                                   # as root; Huawei(site, "anna", secret) as somebody else
    answer = huawei.get("/v3/{project}/volumes/detail")     # {project} stands for the id of the one project
    answer.status, answer.headers["x-openstack-request-id"], answer.json
    huawei.post("/v3/{project}/volumes", {"volume": {"size": 1}})

No status is an error here; `json` is None when there is no body. A test of headers passes them by name:
huawei.get(path, {"X-Subject-Token": token})."""

import collections
import json
import os
import urllib.error
import urllib.request

Answer = collections.namedtuple("Answer", "status headers json")


class Huawei:
    """One user at one site; logs in with the first request that needs it."""

    def __init__(self, site, user=None, password=None, limit_s=10):
        self.site, self.limit_s = site, limit_s
        self.user = user or "root"
        self.password = password or site.key["access_key_secret"]
        self.token = self.project = None
        self.catalog = []

    def credentials(self):
        """The body of a login."""
        user = {"name": self.user, "password": self.password, "domain": {"name": "Default"}}
        project = {"name": self.site.region, "domain": {"name": "Default"}}
        return {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"project": project}}}

    def login(self):
        """Gets a new token, whatever there was."""
        answer = self.raw("POST", "/v3/auth/tokens", self.credentials())
        assert answer.status == 201, answer
        self.token = answer.headers["X-Subject-Token"]
        self.project = answer.json["token"]["project"]["id"]
        self.catalog = answer.json["token"]["catalog"]
        return self

    def raw(self, method, path, body=None, headers=None):
        """One request as it stands, without a token. `body`: bytes as they are, anything else as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.site.api_port}{path}", data=data, method=method,
                                         headers={"Content-Type": "application/json", **(headers or {})})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), KeepRedirects())
        with self.site.place():
            try:
                with opener.open(request, timeout=self.limit_s) as reply:
                    return answer_of(reply.status, reply.headers, reply.read())
            except urllib.error.HTTPError as error:
                return answer_of(error.code, error.headers, error.read())

    def request(self, method, path, body=None, headers=None):
        """One request with the token."""
        if self.token is None:
            self.login()
        return self.raw(method, path.replace("{project}", self.project), body, {"X-Auth-Token": self.token, **(headers or {})})

    def get(self, path, headers=None):
        return self.request("GET", path, None, headers)

    def post(self, path, body=None, headers=None):
        return self.request("POST", path, body, headers)

    def put(self, path, body=None, headers=None):
        return self.request("PUT", path, body, headers)

    def delete(self, path, body=None, headers=None):
        return self.request("DELETE", path, body, headers)


class KeepRedirects(urllib.request.HTTPRedirectHandler):
    """A 300 is an answer like any other."""

    def redirect_request(self, *_):
        return None


def openstack_environment(site, path="/v3"):
    """What the command line clients of OpenStack are told where to log in, and as whom: root."""
    return dict(os.environ, OS_AUTH_URL=f"http://127.0.0.1:{site.api_port}{path}", OS_USERNAME="root",
                OS_PASSWORD=site.key["access_key_secret"], OS_PROJECT_NAME=site.region, OS_USER_DOMAIN_NAME="Default",
                OS_PROJECT_DOMAIN_NAME="Default", OS_IDENTITY_API_VERSION="3", OS_REGION_NAME=site.region, no_proxy="*")


def answer_of(status, headers, body):
    return Answer(status, headers, json.loads(body) if body else None)
