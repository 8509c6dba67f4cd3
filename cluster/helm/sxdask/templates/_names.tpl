{{- define "sxdask.name" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}{{- end -}}
{{- end -}}

{{- define "sxdask.selector" -}}
app.kubernetes.io/name: sxdask
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sxdask.labels" -}}
{{ include "sxdask.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "sxdask.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{- /* What a pod and a container of the restricted profile say of themselves. */ -}}
{{- define "sxdask.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "sxdask.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "sxdask.onKubernetes" -}}
{{- if eq .Values.cluster.kind "kubernetes" }}yes{{ end -}}
{{- end -}}

{{- define "sxdask.storeSecret" -}}
{{- if .Values.objectStore.demo }}{{ include "sxdask.name" . }}-objects{{ else }}{{ .Values.objectStore.secret }}{{ end -}}
{{- end -}}

{{- define "sxdask.storeEndpoint" -}}
{{- if .Values.objectStore.demo }}http://{{ include "sxdask.name" . }}-objects:8333{{ else }}{{ .Values.objectStore.endpoint }}{{ end -}}
{{- end -}}

{{- /* Workers of a cluster of our own, as sxdask.clusters.kubernetes takes them. */ -}}
{{- define "sxdask.clusterOptions" -}}
{{- $options := deepCopy .Values.cluster.options -}}
{{- if .Values.cluster.maximum -}}
{{- $_ := set $options "minimum" (default 0 .Values.cluster.minimum | int) -}}
{{- $_ := set $options "maximum" (.Values.cluster.maximum | int) -}}
{{- end -}}
{{- if include "sxdask.onKubernetes" . -}}
{{- $_ := set $options "prefix" (include "sxdask.name" .) -}}
{{- $_ := set $options "image" (default (printf "ghcr.io/sxdask/worker:%s" .Chart.AppVersion) .Values.cluster.image) -}}
{{- $_ := set $options "s3_secret" (include "sxdask.storeSecret" .) -}}
{{- $labels := default dict (get $options "labels") -}}
{{- $_ := set $options "labels" (merge (dict "app.kubernetes.io/instance" .Release.Name) $labels) -}}
{{- if .Values.caBundle -}}{{- $_ := set $options "ca_bundle" .Values.caBundle -}}{{- end -}}
{{- end -}}
{{- toYaml $options -}}
{{- end -}}

{{- /* Mistakes that a schema cannot see: each in one line. */ -}}
{{- define "sxdask.check" -}}
{{- $store := .Values.objectStore -}}
{{- if and (not $store.demo) (or (not $store.endpoint) (not $store.secret)) -}}
{{- fail "objectStore: set endpoint and secret, or demo=true to try it" -}}
{{- end -}}
{{- if and $store.demo $store.endpoint -}}
{{- fail "objectStore: endpoint and demo exclude each other" -}}
{{- end -}}
{{- if and (eq .Values.database.kind "postgresql") (not .Values.database.urlSecret) -}}
{{- fail "database: kind postgresql needs urlSecret, a Secret with the key url" -}}
{{- end -}}
{{- if and (eq .Values.database.kind "sqlite") .Values.database.urlSecret -}}
{{- fail "database: urlSecret is for kind postgresql" -}}
{{- end -}}
{{- if and .Values.cluster.workers .Values.cluster.maximum -}}
{{- fail "cluster: give workers, or minimum and maximum; set the other (workers or maximum) to 0" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress: set host" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.auth.enabled) -}}
{{- fail "ingress: without auth.enabled everybody on the network may use the service" -}}
{{- end -}}
{{- if and .Values.auth.oidc.url (not .Values.auth.oidc.clientId) -}}
{{- fail "auth.oidc: url needs clientId" -}}
{{- end -}}
{{- end -}}
