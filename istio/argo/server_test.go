package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

// The tests of this file need a real API server with the kinds of Istio and Envoy Gateway: `make test-fleet-argo`
// runs them with its own.
const serverVariable = "DIVVY_TEST_KUBECONFIG"

// The objects have the namespace and the label of these tests.
const testNamespace = "divvy-argo-test"

func serverConfig(t *testing.T) *rest.Config {
	t.Helper()
	file := os.Getenv(serverVariable)
	if file == "" {
		t.Skip(serverVariable + " is not set: make test-fleet-argo sets it")
	}
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		t.Fatal(err)
	}
	// The limit of client-go, 5 requests per second, is that of a program, not of a test.
	config.QPS = 1000
	config.Burst = 1000
	return config
}

func routerOn(t *testing.T, config *rest.Config) *router {
	t.Helper()
	r := &router{}
	if err := r.connect(config); err != nil {
		t.Fatal(err)
	}
	return r
}

// The rollout in each kind of object, whole as the API server accepts it.
const serverRollout = `{name: checkout, salt: kept, target: "{version}", versions: [{name: stable}, {name: canary}], stable: stable, ` +
	`rules: [{name: staff, when: {cookie: staff, present: true}, use: canary}], strategy: {canary: {version: canary, weight: 0}}, ` +
	`guardrail: {consecutiveErrors: 5}}`

var serverObjects = map[string]string{
	"WasmPlugin": `
apiVersion: extensions.istio.io/v1alpha1
spec:
  url: oci://registry.example.com/divvy:1
  phase: STATS
  selector: {matchLabels: {istio: ingressgateway}}
  pluginConfig: {version: "1", rollouts: [{name: cart, stable: a}, %]}
`,
	"TrafficExtension": `
apiVersion: extensions.istio.io/v1alpha1
spec:
  phase: STATS
  selector: {matchLabels: {istio: ingressgateway}}
  wasm: {url: "oci://registry.example.com/divvy:1", pluginConfig: {version: "1", rollouts: [{name: cart, stable: a}, %]}}
`,
	"EnvoyExtensionPolicy": `
apiVersion: gateway.envoyproxy.io/v1alpha1
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: shop}]
  wasm:
    - {name: other, failOpen: false, code: {type: Image, image: {url: "registry.example.com/other:1"}}}
    - name: divvy
      failOpen: true
      code: {type: Image, image: {url: "registry.example.com/divvy:1"}}
      config: {version: "1", rollouts: [{name: cart, stable: a}, %]}
`,
	"ConfigMap": `
apiVersion: v1
data:
  readme: "a: [b"
  divvy.yaml: |
    # Ours.
    version: "1"
    rollouts: [{name: cart, stable: a}, %]
`,
}

// created is a new object of this kind with the name divvy.
func created(t *testing.T, client dynamic.Interface, kind string) dynamic.ResourceInterface {
	t.Helper()
	ctx := context.Background()
	namespaces := client.Resource(carriers["ConfigMap"].resource.GroupVersion().WithResource("namespaces"))
	namespace := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": testNamespace},
	}}
	if _, err := namespaces.Get(ctx, testNamespace, metav1.GetOptions{}); err != nil {
		if _, err := namespaces.Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.Replace(serverObjects[kind], "%", serverRollout, 1)
	object := &unstructured.Unstructured{Object: parsed(t, text)}
	object.SetKind(kind)
	object.SetName("divvy")
	object.SetLabels(map[string]string{"app": "shop"})
	objects := client.Resource(carriers[kind].resource).Namespace(testNamespace)
	if _, err := objects.Create(ctx, object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := objects.Delete(ctx, "divvy", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	return objects
}

func current(t *testing.T, objects dynamic.ResourceInterface) *unstructured.Unstructured {
	t.Helper()
	object, err := objects.Get(context.Background(), "divvy", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// expected is what the object contains apart from its metadata, with this rollout.
func expected(t *testing.T, kind, rollout string) any {
	t.Helper()
	object := parsed(t, strings.Replace(serverObjects[kind], "%", rollout, 1))
	delete(object, "apiVersion")
	return normal(t, contents(t, object))
}

func actual(t *testing.T, objects dynamic.ResourceInterface) any {
	t.Helper()
	object := current(t, objects).DeepCopy().Object
	for _, field := range []string{"apiVersion", "kind", "metadata"} {
		delete(object, field)
	}
	return normal(t, contents(t, object))
}

func releaseOf(t *testing.T, kind, more string) *v1alpha1.Rollout {
	t.Helper()
	return release(t, fmt.Sprintf(`
metadata: {name: checkout, namespace: shop}
spec:
  strategy:
    canary:
      trafficRouting:
        managedRoutes: [{name: testers}, {name: copies}]
        plugins: {divvy/router: {kind: %s, namespace: %s, name: divvy%s}}
      steps: [{setMirrorRoute: {name: copies}}]
`, kind, testNamespace, more))
}

// One release, call by call, on each kind of object.
func TestReleaseOnServer(t *testing.T) {
	config := serverConfig(t)
	r := routerOn(t, config)
	for kind := range carriers {
		t.Run(kind, func(t *testing.T) {
			objects := created(t, r.client, kind)
			ro := releaseOf(t, kind, ", saltPerRelease: true")
			route := &v1alpha1.SetHeaderRoute{Name: "testers", Match: []v1alpha1.HeaderRoutingMatch{
				{HeaderName: "x-canary", HeaderValue: &v1alpha1.StringMatch{Exact: "true"}},
			}}
			percentage := int32(25)
			mirror := &v1alpha1.SetMirrorRoute{Name: "copies", Percentage: &percentage, Match: []v1alpha1.RouteMatch{
				{Method: &v1alpha1.StringMatch{Exact: "GET"}},
			}}
			salted := strings.Replace(serverRollout, "salt: kept", `salt: checkout.5e8, revision: "5e8"`, 1)
			testers := strings.Replace(salted, "rules: [", `rules: [{name: testers, when: {header: x-canary, exact: "true"}, use: canary}, `, 1)
			mirrored := strings.Replace(testers, "stable: stable", "stable: stable, mirror: {version: canary, percent: 25, methods: [GET]}", 1)
			for _, step := range []struct {
				name, want string
				call       func() string
			}{
				{"UpdateHash", salted, func() string { return r.UpdateHash(ro, "5e8", "abc", nil).ErrorString }},
				{"SetHeaderRoute", testers, func() string { return r.SetHeaderRoute(ro, route).ErrorString }},
				{"SetMirrorRoute", mirrored, func() string { return r.SetMirrorRoute(ro, mirror).ErrorString }},
				{"SetWeight", strings.Replace(mirrored, "weight: 0", "weight: 20", 1), func() string { return r.SetWeight(ro, 20, nil).ErrorString }},
				{"RemoveManagedRoutes", strings.Replace(salted, "weight: 0", "weight: 20", 1), func() string { return r.RemoveManagedRoutes(ro).ErrorString }},
				{"SetWeight to 0", salted, func() string { return r.SetWeight(ro, 0, nil).ErrorString }},
			} {
				if complaint := step.call(); complaint != "" {
					t.Fatalf("%s: %s", step.name, complaint)
				}
				if got, want := actual(t, objects), expected(t, kind, step.want); !reflect.DeepEqual(got, want) {
					t.Fatalf("%s:\n%s\nnot\n%s", step.name, asYAML(t, got), asYAML(t, want))
				}
				// A call that changes nothing writes nothing.
				version := current(t, objects).GetResourceVersion()
				if complaint := step.call(); complaint != "" || current(t, objects).GetResourceVersion() != version {
					t.Fatalf("%s again: %s", step.name, complaint)
				}
			}
			object := current(t, objects)
			if object.GetLabels()["app"] != "shop" {
				t.Errorf("labels %v", object.GetLabels())
			}
			if kind == "ConfigMap" {
				data, _, _ := unstructured.NestedString(object.Object, "data", "divvy.yaml")
				if !strings.HasPrefix(data, "# Ours.\n") {
					t.Errorf("the comment is lost: %s", data)
				}
			}
		})
	}
}

func asYAML(t *testing.T, value any) string {
	t.Helper()
	text, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A transport that runs a function before each update.
type racing struct {
	next   http.RoundTripper
	before func()
}

func (r racing) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodPut {
		r.before()
	}
	return r.next.RoundTrip(request)
}

// Another writer changes the object between the read and the write of the plugin, this many times.
func race(t *testing.T, times int32) (complaint string, updates int32, object *unstructured.Unstructured) {
	t.Helper()
	config := serverConfig(t)
	other := routerOn(t, config)
	objects := created(t, other.client, "WasmPlugin")
	racingConfig := rest.CopyConfig(config)
	var count atomic.Int32
	racingConfig.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return racing{next, func() {
			if number := count.Add(1); number <= times {
				patch := fmt.Sprintf(`{"spec": {"pluginConfig": {"version": "by the other writer, %d"}}}`, number)
				_, err := objects.Patch(context.Background(), "divvy", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
				if err != nil {
					t.Error(err)
				}
			}
		}}
	})
	complaint = routerOn(t, racingConfig).SetWeight(releaseOf(t, "WasmPlugin", ""), 20, nil).ErrorString
	return complaint, count.Load(), current(t, objects)
}

func weightAndVersion(t *testing.T, object *unstructured.Unstructured) (any, string) {
	t.Helper()
	config, _, err := unstructuredMap(object.Object, "spec", "pluginConfig")
	if err != nil {
		t.Fatal(err)
	}
	var weight any
	_, err = applyTo(config, "checkout", func(rollout map[string]any) error {
		_, fields, _, err := strategyOf(rollout)
		weight = fields["weight"]
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return weight, config["version"].(string)
}

func TestConflictOnServer(t *testing.T) {
	complaint, updates, object := race(t, 2)
	if complaint != "" || updates != 3 {
		t.Fatalf("%q after %d updates", complaint, updates)
	}
	if weight, version := weightAndVersion(t, object); fmt.Sprint(weight) != "20" || version != "by the other writer, 2" {
		t.Errorf("weight %v, version %q", weight, version)
	}
}

// Argo sees the error and calls again later; the object is that of the other writer.
func TestEndlessConflictOnServer(t *testing.T) {
	complaint, updates, object := race(t, 1000)
	if !strings.Contains(complaint, "the object has been modified") || updates > 10 {
		t.Fatalf("%q after %d updates", complaint, updates)
	}
	if weight, version := weightAndVersion(t, object); fmt.Sprint(weight) != "0" || version != fmt.Sprintf("by the other writer, %d", updates) {
		t.Errorf("weight %v, version %q", weight, version)
	}
}
