{{- define "vectorline.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "vectorline.image" -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end }}

{{- define "vectorline.ours" -}}
{{ include "vectorline.image" (dict "repository" .Values.image.repository "digest" .Values.image.digest "tag" (.Values.image.tag | default .Chart.AppVersion)) }}
{{- end }}

{{/* Labels of a part: (list root name). Those of selectors never change. */}}
{{- define "vectorline.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: vectorline
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "vectorline.labels" -}}
{{- $root := index . 0 -}}
{{ include "vectorline.selector" . }}
app.kubernetes.io/version: {{ $root.Values.image.tag | default $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "vectorline.port" -}}
{{ get (dict "ingest" "50051" "embedder" "50052" "indexer" "50053") . }}
{{- end }}

{{/* Which secrets a service is told. */}}
{{- define "vectorline.secretsOf" -}}
{{- $all := list "API_KEY" "API_KEYS" "API_KEY_PEPPER" "INTERNAL_TOKEN" -}}
{{- $own := dict "ingest" (list "REDIS_URL" "REDIS_PASSWORD" "METABASE_API_KEY") "embedder" (list "REDIS_URL" "REDIS_PASSWORD" "OPENAI_API_KEY") "indexer" (list "PINECONE_API_KEY") -}}
{{ concat $all (get $own .) | toJson }}
{{- end }}

{{/* The environment of a service: (list root name). */}}
{{- define "vectorline.env" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $service := get $root.Values.services $name -}}
{{- range $key, $value := merge (dict) $service.env $root.Values.env }}
- {name: {{ $key }}, value: {{ $value | quote }}}
{{- end }}
{{- range $key := include "vectorline.secretsOf" $name | fromJsonArray }}
{{- with get $root.Values.secrets $key }}
- name: {{ $key }}
{{- if .arn }}
  value: {{ .arn | quote }}
{{- else }}
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}}}
{{- end }}
{{- end }}
{{- end }}
- {name: GRPC_PORT, value: {{ include "vectorline.port" $name | quote }}}
{{- if ne $name "indexer" }}
- {name: INDEXER_ADDR, value: "{{ include "vectorline.name" $root }}-indexer:{{ include "vectorline.port" "indexer" }}"}
{{- end }}
{{- if $root.Values.metrics.port }}
- {name: METRICS_PORT, value: {{ $root.Values.metrics.port | quote }}}
{{- end }}
- {name: PROCESS_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
{{- if eq $name "ingest" }}
- {name: SCRATCH_FOLDER, value: /scratch}
{{- end }}
{{- include "vectorline.mtlsEnv" $root }}
{{- end }}

{{- define "vectorline.mtlsEnv" -}}
{{- if .Values.mtls.enabled }}
- {name: TLS_CERT_FILE, value: /certificates/tls.crt}
- {name: TLS_KEY_FILE, value: /certificates/tls.key}
- {name: TLS_CA_FILE, value: /certificates/ca.crt}
{{- end }}
{{- end }}

{{- define "vectorline.podSecurity" -}}
runAsNonRoot: true
fsGroup: {{ . }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "vectorline.containerSecurity" -}}
runAsUser: {{ . }}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Replicas of a part apart from each other: (list root name). */}}
{{- define "vectorline.spread" -}}
{{- $root := index . 0 -}}
- maxSkew: 1
  topologyKey: topology.kubernetes.io/zone
  whenUnsatisfiable: {{ $root.Values.topologySpread.zone }}
  labelSelector:
    matchLabels: {{- include "vectorline.selector" . | nindent 6 }}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: {{ $root.Values.topologySpread.node }}
  labelSelector:
    matchLabels: {{- include "vectorline.selector" . | nindent 6 }}
{{- end }}
