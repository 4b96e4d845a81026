// Calls with the core of the official Go clients, one line each way until the input ends. In: {"endpoint", "keyId",
// "secret", "version", "action", "method", "form", "parameters"}. Out: {"answer"}, or {"code", "status", "message",
// "requestId"}.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	"github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	"github.com/alibabacloud-go/tea/dara"
	"github.com/alibabacloud-go/tea/tea"
)

type call struct {
	Endpoint, KeyID, Secret, Version, Action, Method string
	Form                                             bool
	Parameters                                       map[string]interface{}
}

func answer(one call) (interface{}, error) {
	client, err := openapi.NewClient(&utils.Config{
		AccessKeyId: &one.KeyID, AccessKeySecret: &one.Secret, Endpoint: &one.Endpoint, Protocol: dara.String("HTTP"),
	})
	if err != nil {
		return nil, err
	}
	params := &utils.Params{
		Action: &one.Action, Version: &one.Version, Method: &one.Method, Protocol: dara.String("HTTP"),
		Pathname: dara.String("/"), AuthType: dara.String("AK"), Style: dara.String("RPC"),
		ReqBodyType: dara.String("formData"), BodyType: dara.String("json"),
	}
	request := &utils.OpenApiRequest{Query: utils.Query(one.Parameters)}
	if one.Form {
		request = &utils.OpenApiRequest{Body: one.Parameters}
	}
	patience := &dara.RuntimeOptions{ConnectTimeout: dara.Int(20000), ReadTimeout: dara.Int(20000)}
	said, err := client.CallApi(params, request, patience)
	if err != nil {
		return nil, err
	}
	return said["body"], nil
}

func say(one call) map[string]interface{} {
	said, err := answer(one)
	if err == nil {
		return map[string]interface{}{"answer": said}
	}
	var refused *tea.SDKError
	if !errors.As(err, &refused) {
		refused = &tea.SDKError{Message: tea.String(err.Error())}
	}
	// The client has no field for the id of the request: a caller finds it in the answer, which is kept as text.
	var data struct{ RequestID string }
	_ = json.Unmarshal([]byte(tea.StringValue(refused.Data)), &data)
	return map[string]interface{}{"code": refused.Code, "status": refused.StatusCode, "message": refused.Message,
		"requestId": data.RequestID}
}

func main() {
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var one call
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			panic(err)
		}
		if err := out.Encode(say(one)); err != nil {
			panic(err)
		}
	}
}
