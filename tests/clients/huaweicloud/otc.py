"""Open Telekom Cloud's extensions of openstacksdk, with a password; unmodified.

    otc.py AUTH-URL USER PASSWORD REGION

Calls, one a line, as program.py has them: "call" is a method of the connection's `sdrs`, "arguments" what it takes."""
import sys
import types

import openstack
import requests
from openstack import exceptions, resource
from otcextensions import sdk
from program import serve


def plain(answer):
    """An answer of the client as JSON can hold it."""
    if isinstance(answer, resource.Resource):
        return answer.to_dict(computed=False, original_names=True)
    if isinstance(answer, requests.Response):
        exceptions.raise_from_response(answer)
        return answer.json() if answer.content else None
    if isinstance(answer, types.GeneratorType):
        return [plain(one) for one in answer]
    return answer


def describe(refused):
    return {"status": refused.status_code, "code": None, "message": refused.message}


def main(url, user, password, region):
    connection = openstack.connect(
        load_yaml_config=False, load_envvars=False, auth_url=url, username=user, password=password, region_name=region,
        project_name=region, user_domain_name="Default", project_domain_name="Default")
    sdk.register_otc_extensions(connection)
    serve(lambda call, arguments: plain(getattr(connection.sdrs, call)(**arguments)), exceptions.HttpException, describe)


if __name__ == "__main__":
    main(*sys.argv[1:])
