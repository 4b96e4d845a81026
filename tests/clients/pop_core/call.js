// One call with the official client: node call.js '{"endpoint":..., "keyId":..., "secret":..., "version":..., "action":...,
// "parameters":{...}, "method":"GET"|"POST"}'. Prints {"answer": ...} or {"code": ..., "message": ..., "status": ...}.
'use strict';
const { RPCClient } = require('@alicloud/pop-core');

const call = JSON.parse(process.argv[2]);
const client = new RPCClient({
  accessKeyId: call.keyId, accessKeySecret: call.secret, endpoint: call.endpoint, apiVersion: call.version,
});
client.request(call.action, call.parameters, { method: call.method || 'GET' }).then(
  (answer) => console.log(JSON.stringify({ answer })),
  (error) => console.log(JSON.stringify({
    code: error.code, message: error.message, status: error.entry && error.entry.response && error.entry.response.statusCode,
  })));
