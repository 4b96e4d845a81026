"""Keystone: discovery, logins, tokens and their end, and who may know what; over HTTP and with Debian's clients."""

import json

import pytest

from huawei import Huawei, openstack_environment
from offsite import BUILD, run

OFFSITE = BUILD / "src" / "cli" / "offsite"


def openstack(site, *words, path="/v3"):
    return json.loads(run("openstack", *words, "-f", "json", env=openstack_environment(site, path)).stdout)


def make_user(site, name, *policies):
    """A user's name, and the secret that is their password."""
    run(OFFSITE, "--dir", site.folder, "user", "create", name)
    for policy in policies:
        run(OFFSITE, "--dir", site.folder, "user", "attach", name, policy)
    key = run(OFFSITE, "--dir", site.folder, "key", "create", "--user", name).stdout
    return name, dict(line.split() for line in key.splitlines()[:2])["secret"]


@pytest.fixture
def huawei(site_of_module):
    return Huawei(site_of_module)


@pytest.mark.parametrize("path, status, key", [("/v3", 200, "version"), ("/v3/", 200, "version"), ("/identity", 300, "versions"),
                                               ("/identity/v3", 200, "version")])
def test_discovery_needs_no_token_and_leads_to_itself(huawei, path, status, key):
    answer = huawei.raw("GET", path)
    assert answer.status == status
    entry = answer.json[key] if key == "version" else answer.json[key]["values"][0]
    assert entry["id"].startswith("v3.") and entry["status"] == "stable"
    link = entry["links"][0]["href"].removeprefix(f"http://127.0.0.1:{huawei.site.api_port}")
    assert huawei.raw("GET", link).json["version"]["id"] == entry["id"]


@pytest.mark.parametrize("prefix", ["/v3", "/identity/v3"])
def test_password_gives_a_token_of_the_project(huawei, prefix):
    answer = huawei.raw("POST", prefix + "/auth/tokens", huawei.credentials())
    token = answer.json["token"]
    assert answer.status == 201 and answer.headers["X-Subject-Token"]
    assert token["methods"] == ["password"] and token["user"]["name"] == "root" and token["roles"][0]["name"] == "admin"
    assert token["project"]["name"] == huawei.site.region and token["expires_at"] > token["issued_at"]
    for service in token["catalog"]:
        faces = [endpoint["interface"] for endpoint in service["endpoints"]]
        assert sorted(faces) == ["admin", "internal", "public"]
        assert {endpoint["region"] for endpoint in service["endpoints"]} == {huawei.site.region}
    assert {service["type"] for service in token["catalog"]} >= {"identity", "volumev2", "volumev3", "block-storage", "sdrs", "image"}


@pytest.mark.parametrize("change", [
    lambda auth: auth.pop("scope"),
    lambda auth: auth.update(scope={"domain": {"name": "OTC-EU-1234"}}),
    lambda auth: auth["scope"]["project"].update(domain={"name": "any other"}),
    lambda auth: auth["identity"]["password"]["user"].update(domain={"name": "OTC-EU-1234"}),
    lambda auth: auth["identity"]["password"]["user"].update(id=auth["identity"]["password"]["user"].pop("name"))])
def test_scopes_domains_and_ids_are_taken(huawei, change):
    body = huawei.credentials()
    change(body["auth"])
    answer = huawei.raw("POST", "/v3/auth/tokens", body)
    assert answer.status == 201 and answer.json["token"]["project"]["name"] == huawei.site.region


@pytest.mark.parametrize("change", [
    lambda auth: auth["identity"]["password"]["user"].update(password="wrong"),
    lambda auth: auth["identity"]["password"]["user"].update(name="nobody"),
    lambda auth: auth["identity"]["password"]["user"].pop("password"),
    lambda auth: auth["identity"].pop("password"),
    lambda auth: auth["identity"].update(methods=["totp"]),
    lambda auth: auth["identity"].update(methods=[None, 7]),
    lambda auth: auth["identity"].update(methods=["token"], token={"id": "bm8gdG9rZW4="}),
    lambda auth: auth["scope"]["project"].update(name="elsewhere"),
    lambda auth: auth["scope"].update(project={"id": "0" * 32})])
def test_bad_logins_are_401_in_keystones_form(huawei, change):
    body = huawei.credentials()
    change(body["auth"])
    answer = huawei.raw("POST", "/v3/auth/tokens", body)
    assert answer.status == 401 and "X-Subject-Token" not in answer.headers
    assert answer.json["error"]["code"] == 401 and answer.json["error"]["title"] == "Unauthorized"


@pytest.mark.parametrize("body", [None, {}, {"auth": None}, {"auth": {}}, {"auth": {"identity": []}},
                                  {"auth": {"identity": {"methods": "password"}}}, b"[]", b"{"])
def test_what_is_no_login_is_400(huawei, body):
    answer = huawei.raw("POST", "/v3/auth/tokens", body)
    assert answer.status == 400 and answer.json["error"]["code"] == 400


def test_nocatalog_leaves_the_catalog_out(huawei):
    answer = huawei.raw("POST", "/v3/auth/tokens?nocatalog=true", huawei.credentials())
    assert answer.status == 201 and "catalog" not in answer.json["token"]


def test_a_token_gives_a_token_that_lives_no_longer(huawei):
    first = huawei.raw("POST", "/v3/auth/tokens", huawei.credentials())
    body = {"auth": {"identity": {"methods": ["token"], "token": {"id": first.headers["X-Subject-Token"]}}}}
    second = huawei.raw("POST", "/v3/auth/tokens", body)
    assert second.status == 201 and second.json["token"]["expires_at"] == first.json["token"]["expires_at"]
    assert second.json["token"]["methods"] == ["password", "token"]
    assert second.json["token"]["audit_ids"][1] == first.json["token"]["audit_ids"][0]


def test_tokens_are_shown_and_revoked_for_good(site):
    huawei = Huawei(site).login()
    other = Huawei(site).login()
    subject = {"X-Subject-Token": other.token}
    shown = huawei.get("/v3/auth/tokens", subject)
    assert shown.status == 200 and shown.json["token"]["user"]["name"] == "root"
    assert huawei.request("HEAD", "/v3/auth/tokens", headers=subject).status == 200
    assert huawei.delete("/v3/auth/tokens", headers=subject).status == 204
    site.kill()
    site.start()
    assert huawei.get("/v3/auth/tokens", subject).status == 404
    assert huawei.delete("/v3/auth/tokens", headers=subject).status == 404
    assert huawei.get("/v3/auth/tokens").status == 400
    refused = other.get("/v3/auth/projects")
    assert refused.status == 401 and refused.json["error"]["title"] == "Unauthorized"


def test_users_log_in_with_a_keys_secret_and_see_themselves(site):
    anna = Huawei(site, *make_user(site, "anna", "ReadOnlyAccess")).login()
    bert = Huawei(site, *make_user(site, "bert")).login()
    mine = {"X-Subject-Token": anna.token}
    assert [role["name"] for role in anna.get("/v3/auth/tokens", mine).json["token"]["roles"]] == ["ReadOnlyAccess"]
    assert bert.get("/v3/auth/tokens", {"X-Subject-Token": bert.token}).json["token"]["roles"] == []
    assert bert.get("/v3/auth/tokens", mine).status == 403 and bert.delete("/v3/auth/tokens", headers=mine).status == 403
    assert Huawei(site).get("/v3/auth/tokens", mine).status == 200
    assert anna.get("/v3/users/anna").json["user"]["name"] == "anna" and anna.get("/v3/users/bert").status == 403
    assert anna.get("/v3/{project}/volumes").status == 200
    assert bert.get("/v3/{project}/volumes").status == 403
    assert anna.post("/v3/{project}/volumes", {"volume": {"size": 1}}).status == 403


def test_logins_are_logged_with_whom_they_are_for(site):
    huawei = Huawei(site)
    body = huawei.credentials()
    body["auth"]["identity"]["password"]["user"]["name"] = 'no"bo\ndy'
    assert huawei.raw("POST", "/v3/auth/tokens", body).status == 401
    huawei.login()
    huawei.delete("/v3/auth/tokens", headers={"X-Subject-Token": huawei.token})
    calls = [line for line in site.log().splitlines() if " api.call " in line and "sts:" in line]
    assert [line.split(" user=")[1].split(" code=")[0] for line in calls] == [
        '"" action=sts:IssueToken object="no?bo?dy" status=401',
        '"root" action=sts:IssueToken object="root" status=201',
        '"root" action=sts:RevokeToken object="root" status=204']


def test_projects_domains_and_catalog(huawei):
    for path in ("/v3/projects", "/v3/auth/projects", f"/v3/projects?name={huawei.site.region}"):
        rows = huawei.get(path).json["projects"]
        assert [(row["name"], row["id"]) for row in rows] == [(huawei.site.region, huawei.project)]
    assert huawei.get("/v3/projects?name=elsewhere").json["projects"] == []
    assert huawei.get("/v3/projects/{project}").json["project"]["id"] == huawei.project
    assert huawei.get("/v3/auth/domains").json["domains"][0]["id"]
    assert huawei.get("/v3/auth/catalog").json["catalog"] == huawei.catalog
    assert huawei.raw("GET", "/v3/auth/catalog").status == 401


def test_another_project_is_forbidden(huawei):
    assert huawei.get(f"/v3/{'0' * 32}/volumes").status == 403


@pytest.mark.parametrize("path", ["/v3", "/identity", "/identity/v3"])
def test_openstack_logs_in_whatever_the_address(site_of_module, path):
    issued = openstack(site_of_module, "token", "issue", path=path)
    assert issued["project_id"] == Huawei(site_of_module).login().project


def test_openstack_reads_catalog_projects_and_users(site_of_module):
    types = {row["Type"] for row in openstack(site_of_module, "catalog", "list")}
    assert types >= {"identity", "volumev2", "volumev3", "block-storage", "sdrs", "image"}
    assert [row["Name"] for row in openstack(site_of_module, "project", "list")] == [site_of_module.region]
    assert openstack(site_of_module, "user", "show", "root")["name"] == "root"
    token = openstack(site_of_module, "token", "issue")["id"]
    run("openstack", "token", "revoke", token, env=openstack_environment(site_of_module))
    huawei = Huawei(site_of_module)
    assert huawei.raw("GET", "/v3/auth/projects", headers={"X-Auth-Token": token}).status == 401
