{{/* Labels of everything. */}}
{{- define "fastdeploy.labels" -}}
app.kubernetes.io/name: fastdeploy
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* What Services and Deployments select pods by. Of: a component's name. */}}
{{- define "fastdeploy.selector" -}}
app.kubernetes.io/name: fastdeploy
app.kubernetes.io/component: {{ . }}
{{- end }}

{{/* An image's full name. Of: list of the root and the image's values. */}}
{{- define "fastdeploy.image" -}}
{{- $root := index . 0 }}{{ $image := index . 1 -}}
{{ $root.Values.image.registry }}/{{ $image.name }}:{{ $image.tag | default $root.Chart.AppVersion }}
{{- end }}

{{/* How many, and when one is replaced. Of: a component's values. */}}
{{- define "fastdeploy.replicas" -}}
replicas: {{ .replicas }}
{{- /* The new one is there before the old one goes. */}}
strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
revisionHistoryLimit: 2
{{- end }}

{{/* Where and as whom a pod runs: what PodSecurity "restricted" asks for.
     Of: list of the root, the component's name and its values. */}}
{{- define "fastdeploy.pod" -}}
{{- $root := index . 0 }}{{ $name := index . 1 }}{{ $values := index . 2 -}}
serviceAccountName: fastdeploy-{{ $name }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  # A volume belongs to whoever writes to it.
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
enableServiceLinks: false
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if gt (int $values.replicas) 1 }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "fastdeploy.selector" $name | nindent 8 }}
{{- end }}
{{- end }}

{{/* What both containers have in common. Of: list of the root and the component's values. */}}
{{- define "fastdeploy.container" -}}
{{- $root := index . 0 }}{{ $values := index . 1 -}}
image: {{ include "fastdeploy.image" (list $root $values.image) }}
imagePullPolicy: {{ $values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 10
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 2
  failureThreshold: 2
resources: {{- toYaml $values.resources | nindent 2 }}
{{- end }}

{{/* Environment of both. Of: a component's values. */}}
{{- define "fastdeploy.environment" -}}
- name: FASTDEPLOY_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- {name: RUST_LOG, value: {{ .logLevel | quote }}}
- {name: FASTDEPLOY_LOG_FORMAT, value: {{ .logFormat }}}
{{- end }}

{{/* Where traces go. Of: the root. */}}
{{- define "fastdeploy.traces" -}}
{{- with .Values.traces.endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- with .Values.traces.headersSecret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom: {secretKeyRef: {name: {{ . }}, key: headers}}
{{- end }}
{{- end }}

{{/* One may be away at a time. Of: list of the root, the component's name and its values. */}}
{{- define "fastdeploy.disruptionBudget" -}}
{{- $root := index . 0 }}{{ $name := index . 1 }}{{ $values := index . 2 -}}
{{- if gt (int $values.replicas) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: fastdeploy-{{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "fastdeploy.labels" $root | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "fastdeploy.selector" $name | nindent 6 }}
{{- end }}
{{- end }}

{{/* Where the database is. Of: the root. */}}
{{- define "fastdeploy.database" -}}
- name: FASTDEPLOY_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.database.existingSecret | default "fastdeploy-database" }}, key: url}}
{{- end }}
