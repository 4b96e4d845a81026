"""Huawei's own Python client of SDRS, which signs with an access key; unmodified.

    sdrs.py ENDPOINT KEY SECRET REGION [PROJECT]

Calls, one a line, as program.py has them: "call" is a method of the client, "arguments" the fields of its request by the
client's own names, nested as its models are. Without PROJECT the client asks IAM, at the same endpoint, for the one that is
named as the region."""
import re
import sys

import huaweicloudsdksdrs.v1 as sdrs
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ServiceResponseException
from huaweicloudsdkcore.region.region import Region
from program import serve


def model(kind, value):
    """The client's own class of that name, made of a dictionary; a list of them of a list; anything else as it is."""
    many = re.fullmatch(r"list\[(.*)\]", kind)
    if many:
        return [model(many[1], one) for one in value]
    made = getattr(sdrs, kind, None)
    if made is None:
        return value
    return made(**{name: model(made.openapi_types[name], one) for name, one in value.items()})


def describe(refused):
    return {"status": refused.status_code, "code": refused.error_code, "message": refused.error_msg,
            "request_id": refused.request_id}


def main(endpoint, key, secret, region, project=None):
    credentials = BasicCredentials(key, secret, project).with_iam_endpoint(endpoint)
    builder = sdrs.SdrsClient.new_builder().with_credentials(credentials)
    client = (builder.with_endpoint(endpoint) if project else builder.with_region(Region(region, endpoint))).build()

    def answer(call, arguments):
        request = "".join(word.capitalize() for word in call.split("_")) + "Request"
        return getattr(client, call)(model(request, arguments)).to_dict()
    serve(answer, ServiceResponseException, describe)


if __name__ == "__main__":
    main(*sys.argv[1:])
