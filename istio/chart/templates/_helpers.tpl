{{/* The name of the plugin, under which divvy stores its state. */}}
{{- define "divvy.name" -}}
{{- $names := dict "gateway" "divvy" "callers" "divvy-outbound" "service" "divvy-inbound" -}}
{{- .Values.name | default (get $names .Values.at) -}}
{{- end -}}

{{/* The labels of the pods with divvy. */}}
{{- define "divvy.selector" -}}
{{- if .Values.selector -}}
{{- toYaml .Values.selector -}}
{{- else if eq .Values.at "gateway" -}}
istio: ingressgateway
{{- else -}}
{{- fail "selector is missing: the labels of the pods whose sidecars run divvy, such as app: checkout" -}}
{{- end -}}
{{- end -}}

{{/* The labels of the chart's own objects. The first one is that of istio/admission. */}}
{{- define "divvy.labels" -}}
divvy: configuration
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The name of the header with a role, or nothing if the configuration does not write one. */}}
{{- define "divvy.header" -}}
{{- $role := index . 1 -}}
{{- $config := (index . 0).Values.configuration -}}
{{- if hasKey $config "headers" -}}
{{- get (default dict $config.headers) $role | lower -}}
{{- else if has $role (list "route" "assignment" "mirror") -}}
x-divvy-{{ $role }}
{{- end -}}
{{- end -}}

{{/* Headers of requests that carry an identity: clients send them. A JSON list, since a template returns text. */}}
{{- define "divvy.inputs" -}}
{{- $inputs := list -}}
{{- range prepend (default list .rollouts) . -}}
{{- range default list .identity -}}
{{- range prepend (default list .concat) . -}}
{{- with .header -}}{{- $inputs = append $inputs (lower .) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $inputs -}}
{{- end -}}

{{/* The headers that clients may not send, as a JSON list: what `divvy render istio` removes early. */}}
{{- define "divvy.stripped" -}}
{{- $config := .Values.configuration -}}
{{- $inputs := include "divvy.inputs" $config | fromJsonArray -}}
{{- $names := list -}}
{{- range $role, $name := omit (default dict $config.headers) "baggage" -}}
{{- if not (and (eq $role "identity") (has (lower $name) $inputs)) -}}
{{- $names = append $names (lower $name) -}}
{{- end -}}
{{- end -}}
{{- $names = concat $names (list "x-divvy-route" "x-divvy-assignment" "x-divvy-mirror" "x-divvy-unit") -}}
{{- range default list $config.rollouts -}}
{{- range $name := compact (list (default "" (default dict .expose).group) (default "" (default dict .expose).id)) -}}
{{- $names = append $names (lower $name) -}}
{{- end -}}
{{- end -}}
{{- /* divvy itself keeps or removes the assignment of another proxy. */ -}}
{{- if and $config.trust (ne (default "assignment" $config.trust.from) "baggage") -}}
{{- $names = without $names (include "divvy.header" (list . "assignment")) -}}
{{- end -}}
{{- toJson (uniq $names) -}}
{{- end -}}

{{/*
The rollouts with targets, as a JSON list of objects with name, host, hosts, targets, stable and mirror: what `divvy render
istio` calls services. Only what needs no routes that tell rollouts apart; the rest is left to that command.
*/}}
{{- define "divvy.services" -}}
{{- $root := . -}}
{{- $services := list -}}
{{- range $rollout := default list .Values.configuration.rollouts -}}
  {{- $targets := dict -}}
  {{- $order := list -}}
  {{- range $rollout.versions -}}
    {{- $target := .target | default $rollout.target | default "" | replace "{version}" .name -}}
    {{- $_ := set $targets .name $target -}}
    {{- $order = append $order $target -}}
  {{- end -}}
  {{- if not (has "" $order) -}}
    {{- $hosts := list -}}
    {{- $all := empty $rollout.match -}}
    {{- $scopes := list -}}
    {{- range default list $rollout.match -}}
      {{- $scopes = append $scopes (pick . "hosts" "path" "methods") -}}
      {{- if .hosts -}}
        {{- range .hosts -}}{{- $hosts = append $hosts (lower . | trimSuffix ".") -}}{{- end -}}
      {{- else -}}
        {{- $all = true -}}
      {{- end -}}
    {{- end -}}
    {{- $namespace := $root.Values.routes.namespace | default $root.Release.Namespace -}}
    {{- $name := $rollout.name | replace "_" "-" | trimAll "-." -}}
    {{- $host := get (default dict $root.Values.routes.services) $rollout.name | default (printf "%s.%s.svc.cluster.local" $name $namespace) -}}
    {{- if ne $root.Values.at "gateway" -}}
      {{- $hosts = list $host -}}
    {{- else if $all -}}
      {{- $hosts = list "*" -}}
    {{- end -}}
    {{- $mirror := get $targets ((default dict $rollout.mirror).version | default "") | default "" -}}
    {{- if has dict $scopes -}}
      {{- $scopes = list -}}
    {{- end -}}
    {{- range $services -}}
      {{- /* Routes cannot tell such rollouts apart: they are about one service. */ -}}
      {{- $shared := false -}}
      {{- range .targets -}}
        {{- $shared = or $shared (has . $order) -}}
      {{- end -}}
      {{- if or (and $shared (eq .scopes (toJson $scopes))) (eq .host $host) (eq (toJson .hosts) (toJson (uniq $hosts))) -}}
        {{- fail (printf "the rollouts %s and %s share hosts or a service: set routes.enabled to false, and apply the VirtualService of divvy render istio" .name $rollout.name) -}}
      {{- end -}}
    {{- end -}}
    {{- range $order -}}
      {{- if contains "|" . -}}
        {{- fail (printf "%s is a target of %s, a name of Istio: set routes.enabled to false, and apply istio/examples/cluster-header.yaml" . $rollout.name) -}}
      {{- end -}}
    {{- end -}}
    {{- $services = append $services (dict "name" $rollout.name "host" $host "hosts" (uniq $hosts) "scopes" (toJson $scopes) "targets" (uniq $order) "stable" (get $targets $rollout.stable) "mirror" $mirror) -}}
  {{- end -}}
{{- end -}}
{{- toJson $services -}}
{{- end -}}

{{/* The subset of a target: a DNS label. */}}
{{- define "divvy.subset" -}}
{{- regexReplaceAll "[^a-z0-9]" (lower .) "-" | trimAll "-" -}}
{{- end -}}

{{/* A destination of a service and a target. */}}
{{- define "divvy.destination" -}}
{host: {{ index . 0 }}, subset: {{ include "divvy.subset" (index . 1) | quote }}}
{{- end -}}

{{/* The environment of the VM, as a JSON list: with the keys of signatures where the configuration needs them. */}}
{{- define "divvy.env" -}}
{{- $config := .Values.configuration -}}
{{- $needs := not (empty $config.overrides) -}}
{{- range default list $config.identity -}}
{{- $needs = or $needs (eq (toString (default dict .mint).signed) "true") -}}
{{- end -}}
{{- range default list $config.rollouts -}}
{{- $needs = or $needs (eq (toString (default dict .sticky).signed) "true") -}}
{{- end -}}
{{- $env := default list .Values.env -}}
{{- range $env -}}
{{- $needs = and $needs (ne .name "DIVVY_KEYS") -}}
{{- end -}}
{{- if $needs -}}
{{- /* The container istio-proxy has the variable from a Secret. */ -}}
{{- $env = append $env (dict "name" "DIVVY_KEYS" "valueFrom" "HOST") -}}
{{- end -}}
{{- toJson $env -}}
{{- end -}}
