// Calls with chnsz/golangsdk, one line each way until the input ends. In: {"endpoint", "region", "user" and "password" or
// "key" and "secret", "call", "id", "options"}. Out: {"answer"}, or {"status", "message"}.
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"reflect"

	"github.com/chnsz/golangsdk"
	"github.com/chnsz/golangsdk/openstack"
	"github.com/chnsz/golangsdk/openstack/blockstorage/v2/volumes"
	groups "github.com/chnsz/golangsdk/openstack/drs/v2/replicationconsistencygroups"
	pairs "github.com/chnsz/golangsdk/openstack/drs/v2/replications"
	"github.com/chnsz/golangsdk/openstack/sdrs/v1/attachreplication"
	"github.com/chnsz/golangsdk/openstack/sdrs/v1/domains"
	"github.com/chnsz/golangsdk/openstack/sdrs/v1/protectedinstances"
	"github.com/chnsz/golangsdk/openstack/sdrs/v1/protectiongroups"
	"github.com/chnsz/golangsdk/openstack/sdrs/v1/replications"
)

type caller struct {
	Endpoint, Region, User, Password, Key, Secret string
}

type call struct {
	caller
	Call, ID string
	Options  json.RawMessage
}

type service = golangsdk.ServiceClient

type row struct {
	make func(*golangsdk.ProviderClient, golangsdk.EndpointOpts) (*service, error)
	ask  func(*service, string, json.RawMessage) (interface{}, error)
}

// given: a call whose options are the client's own struct, read by the names that the client gives its fields in JSON.
func given[T any](ask func(*service, string, T) (interface{}, error)) func(*service, string, json.RawMessage) (interface{}, error) {
	return func(client *service, id string, text json.RawMessage) (interface{}, error) {
		var options T
		if len(text) > 0 {
			if err := json.Unmarshal(text, &options); err != nil {
				return nil, err
			}
		}
		return ask(client, id, options)
	}
}

// named: a call that takes no more than an id.
func named(ask func(*service, string) (interface{}, error)) func(*service, string, json.RawMessage) (interface{}, error) {
	return func(client *service, id string, _ json.RawMessage) (interface{}, error) { return ask(client, id) }
}

func action(ask func(*service, string) groups.ActionResult) func(*service, string, json.RawMessage) (interface{}, error) {
	return named(func(c *service, id string) (interface{}, error) { return nil, ask(c, id).ExtractErr() })
}

var calls = map[string]row{
	"volume.create": {openstack.NewBlockStorageV2, given(func(c *service, _ string, o volumes.CreateOpts) (interface{}, error) {
		return volumes.Create(c, o).Extract()
	})},
	"volume.get": {openstack.NewBlockStorageV2, named(func(c *service, id string) (interface{}, error) {
		return volumes.Get(c, id).Extract()
	})},
	"volume.delete": {openstack.NewBlockStorageV2, given(func(c *service, id string, o volumes.DeleteOpts) (interface{}, error) {
		return nil, volumes.Delete(c, id, o).ExtractErr()
	})},

	"pair.create": {openstack.NewDRSServiceV2, given(func(c *service, _ string, o pairs.CreateOps) (interface{}, error) {
		return pairs.Create(c, o).Extract()
	})},
	"pair.get": {openstack.NewDRSServiceV2, named(func(c *service, id string) (interface{}, error) {
		return pairs.Get(c, id).Extract()
	})},
	"pair.list": {openstack.NewDRSServiceV2, given(func(c *service, _ string, o pairs.ListOpts) (interface{}, error) {
		page, err := pairs.List(c, o).AllPages()
		if err != nil {
			return nil, err
		}
		return pairs.ExtractReplications(page)
	})},
	"pair.delete": {openstack.NewDRSServiceV2, named(func(c *service, id string) (interface{}, error) {
		return nil, pairs.Delete(c, id).ExtractErr()
	})},

	"group.create": {openstack.NewDRSServiceV2, given(func(c *service, _ string, o groups.CreateOps) (interface{}, error) {
		return groups.Create(c, o).Extract()
	})},
	"group.get": {openstack.NewDRSServiceV2, named(func(c *service, id string) (interface{}, error) {
		return groups.Get(c, id).Extract()
	})},
	"group.list": {openstack.NewDRSServiceV2, given(func(c *service, _ string, o groups.ListOpts) (interface{}, error) {
		page, err := groups.List(c, o).AllPages()
		if err != nil {
			return nil, err
		}
		return groups.ExtractReplicationConsistencyGroups(page)
	})},
	"group.update": {openstack.NewDRSServiceV2, given(func(c *service, id string, o groups.UpdateOpts) (interface{}, error) {
		return groups.Update(c, id, o).Extract()
	})},
	"group.delete": {openstack.NewDRSServiceV2, named(func(c *service, id string) (interface{}, error) {
		return nil, groups.Delete(c, id).ExtractErr()
	})},
	"group.sync":      {openstack.NewDRSServiceV2, action(groups.Sync)},
	"group.stop":      {openstack.NewDRSServiceV2, action(groups.Stop)},
	"group.reverse":   {openstack.NewDRSServiceV2, action(groups.Reverse)},
	"group.failover":  {openstack.NewDRSServiceV2, action(groups.FailOver)},
	"group.reprotect": {openstack.NewDRSServiceV2, action(groups.Reprotect)},
	"group.extend": {openstack.NewDRSServiceV2, given(func(c *service, id string, o groups.ReplicationsOps) (interface{}, error) {
		return nil, groups.Extend(c, id, o).ExtractErr()
	})},

	"sdrs.domains": {openstack.NewSDRSV1, named(func(c *service, _ string) (interface{}, error) {
		return domains.Get(c).Extract()
	})},
	"sdrs.group.create": {openstack.NewSDRSV1, given(func(c *service, _ string, o protectiongroups.CreateOpts) (interface{}, error) {
		return protectiongroups.Create(c, o).ExtractJobResponse()
	})},
	"sdrs.group.get": {openstack.NewSDRSV1, named(func(c *service, id string) (interface{}, error) {
		return protectiongroups.Get(c, id).Extract()
	})},
	"sdrs.group.update": {openstack.NewSDRSV1, given(func(c *service, id string, o protectiongroups.UpdateOpts) (interface{}, error) {
		return nil, protectiongroups.Update(c, id, o).Err
	})},
	"sdrs.group.enable": {openstack.NewSDRSV1, named(func(c *service, id string) (interface{}, error) {
		return protectiongroups.Enable(c, id).ExtractJobResponse()
	})},
	"sdrs.group.disable": {openstack.NewSDRSV1, named(func(c *service, id string) (interface{}, error) {
		return protectiongroups.Disable(c, id).ExtractJobResponse()
	})},
	"sdrs.group.delete": {openstack.NewSDRSV1, named(func(c *service, id string) (interface{}, error) {
		return protectiongroups.Delete(c, id).ExtractJobResponse()
	})},
	"sdrs.group.of_job": {openstack.NewSDRSV1, named(func(c *service, id string) (interface{}, error) {
		return protectiongroups.GetJobEntity(c, id, "server_group_id")
	})},
	"sdrs.pair.create": {openstack.NewSDRSV1, given(func(c *service, _ string, o replications.CreateOpts) (interface{}, error) {
		return replications.Create(c, o).ExtractJobResponse()
	})},
	"sdrs.pair.get": {openstack.NewSDRSV1, named(func(c *service, id string) (interface{}, error) {
		return replications.Get(c, id).Extract()
	})},
	"sdrs.pair.update": {openstack.NewSDRSV1, given(func(c *service, id string, o replications.UpdateOpts) (interface{}, error) {
		return nil, replications.Update(c, id, o).Err
	})},
	"sdrs.pair.delete": {openstack.NewSDRSV1, given(func(c *service, id string, o replications.DeleteOpts) (interface{}, error) {
		return replications.Delete(c, id, o).ExtractJobResponse()
	})},
	"sdrs.pair.of_job": {openstack.NewSDRSV1, named(func(c *service, id string) (interface{}, error) {
		return replications.GetJobEntity(c, id, "replication_pair_id")
	})},
	"sdrs.instance.create": {openstack.NewSDRSV1, given(func(c *service, _ string, o protectedinstances.CreateOpts) (interface{}, error) {
		return protectedinstances.Create(c, o).ExtractJobResponse()
	})},
	"sdrs.instance.get": {openstack.NewSDRSV1, named(func(c *service, id string) (interface{}, error) {
		return protectedinstances.Get(c, id).Extract()
	})},
	"sdrs.instance.delete": {openstack.NewSDRSV1, given(func(c *service, id string, o protectedinstances.DeleteOpts) (interface{}, error) {
		return protectedinstances.Delete(c, id, o).ExtractJobResponse()
	})},
	"sdrs.instance.of_job": {openstack.NewSDRSV1, named(func(c *service, id string) (interface{}, error) {
		return protectedinstances.GetJobEntity(c, id, "protected_instance_id")
	})},
	"sdrs.attachment.create": {openstack.NewSDRSV1, given(func(c *service, id string, o attachreplication.CreateOpts) (interface{}, error) {
		return attachreplication.Create(c, id, o).ExtractJobResponse()
	})},
	"sdrs.attachment.delete": {openstack.NewSDRSV1, given(func(c *service, id string, o attachreplication.CreateOpts) (interface{}, error) {
		return attachreplication.Delete(c, id, o.ReplicationID).ExtractJobResponse()
	})},
	"sdrs.attachment.of_job": {openstack.NewSDRSV1, named(func(c *service, id string) (interface{}, error) {
		return attachreplication.GetJobEntity(c, id, "protected_instance_id")
	})},
}

var providers = map[caller]*golangsdk.ProviderClient{}

// provider: the client's session for this caller; logs in where there is none yet.
func provider(who caller) (*golangsdk.ProviderClient, error) {
	if known := providers[who]; known != nil {
		return known, nil
	}
	made, err := openstack.NewClient(who.Endpoint)
	if err != nil {
		return nil, err
	}
	var options golangsdk.AuthOptionsProvider = golangsdk.AuthOptions{IdentityEndpoint: who.Endpoint, Username: who.User,
		Password: who.Password, DomainName: "Default", TenantName: who.Region}
	if who.Key != "" {
		options = golangsdk.AKSKAuthOptions{IdentityEndpoint: who.Endpoint, Region: who.Region, ProjectName: who.Region,
			Domain: "Default", AccessKey: who.Key, SecretKey: who.Secret}
	}
	if err := openstack.Authenticate(made, options); err != nil {
		return nil, err
	}
	providers[who] = made
	return made, nil
}

func answer(one call) (interface{}, error) {
	session, err := provider(one.caller)
	if err != nil {
		return nil, err
	}
	client, err := calls[one.Call].make(session, golangsdk.EndpointOpts{Region: one.Region})
	if err != nil {
		return nil, err
	}
	return calls[one.Call].ask(client, one.ID, one.Options)
}

// status: the HTTP status in an error of the client, whose classes embed it and do not say so; 0 where there is none.
func status(err error) int64 {
	value := reflect.Indirect(reflect.ValueOf(err))
	if value.Kind() != reflect.Struct {
		return 0
	}
	if actual := value.FieldByName("Actual"); actual.IsValid() && actual.CanInt() {
		return actual.Int()
	}
	return 0
}

func main() {
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var one call
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			panic(err)
		}
		said, err := answer(one)
		line := map[string]interface{}{"answer": said}
		if err != nil {
			line = map[string]interface{}{"status": status(err), "message": err.Error()}
		}
		if err := out.Encode(line); err != nil {
			panic(err)
		}
	}
}
