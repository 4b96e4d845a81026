// Calls with the official clients of signature version 3, one line each way until the input ends. In: {"endpoint",
// "keyId", "secret", "version", "action", "method", "form", "parameters"}. Out: {"answer"}, or {"code", "status",
// "message", "requestId"}. EBS has no package on npm: it is called by name, through the core; ECS through its own.
'use strict';
const readline = require('readline');
const { default: Core, $OpenApiUtil, OpenApiUtil } = require('@alicloud/openapi-core');
const ecs = require('@alicloud/ecs20140526');
const { RuntimeOptions } = require('@darabonba/typescript');

const ECS_VERSION = '2014-05-26';
const patience = () => new RuntimeOptions({ connectTimeout: 20000, readTimeout: 20000 });
const small = (name) => name[0].toLowerCase() + name.slice(1);

async function callTyped(client, call) {
  const fields = Object.entries(call.parameters).map(([name, value]) => [small(name), value]);
  const request = new ecs[call.action + 'Request'](Object.fromEntries(fields));
  return (await client[small(call.action) + 'WithOptions'](request, patience())).body.toMap();
}

async function callByName(client, call) {
  const params = new $OpenApiUtil.Params({
    action: call.action, version: call.version, protocol: 'HTTP', pathname: '/', method: call.method, authType: 'AK',
    style: 'RPC', reqBodyType: 'formData', bodyType: 'json',
  });
  const request = new $OpenApiUtil.OpenApiRequest(
    call.form ? { body: call.parameters } : { query: OpenApiUtil.query(call.parameters) });
  return (await client.callApi(params, request, patience())).body;
}

function answer(call) {
  const config = new $OpenApiUtil.Config({
    accessKeyId: call.keyId, accessKeySecret: call.secret, endpoint: call.endpoint, protocol: 'HTTP',
  });
  return call.version === ECS_VERSION ? callTyped(new ecs.default(config), call) : callByName(new Core(config), call);
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const said = await answer(JSON.parse(line)).then((answer) => ({ answer }), (error) => ({
      code: error.code, status: error.statusCode, message: error.message, requestId: error.requestId,
    }));
    console.log(JSON.stringify(said));
  }
})();
