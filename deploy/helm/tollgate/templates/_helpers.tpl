{{- define "tollgate.name" -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "tollgate.selector" -}}
app.kubernetes.io/name: tollgate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tollgate.labels" -}}
{{ include "tollgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "tollgate.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "tollgate.name" .) -}}
{{- end -}}

{{- /* An image, with the registry of all images before it. Takes a list of the root and an image. */ -}}
{{- define "tollgate.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- with $root.Values.global.imageRegistry }}{{ . }}/{{ end -}}
{{ $image.repository }}:{{ $image.tag | default $root.Chart.AppVersion }}
{{- end -}}

{{- /* Tollgate's file: the user's, and over it what concerns this chart. */ -}}
{{- define "tollgate.config" -}}
{{- $ours := dict "serve_grpc" "0.0.0.0:4001" "serve_native" "0.0.0.0:4003" "serve_http" "0.0.0.0:4002" "metrics" (dict "address" "0.0.0.0:9090") -}}
{{- if .Values.envoy.enabled -}}
{{- /* Loopback belongs to the pod, and several workers can share a port there. */ -}}
{{- $ours = merge (dict "host" "0.0.0.0" "port" 4000 "serve_grpc" "127.0.0.1:4001" "serve_native" "127.0.0.1:4003" "xds" "ads") $ours -}}
{{- else -}}
{{- $host := printf "%s.%s.svc" (include "tollgate.name" .) .Release.Namespace -}}
{{- $ours = merge (dict "reach_grpc" (printf "%s:4001" $host) "reach_native" (printf "%s:4003" $host) "reach_http" (printf "%s:4002" $host)) $ours -}}
{{- end -}}
{{- if .Values.history.existingSecret -}}
{{- $ours = merge (dict "history_url" "os.environ/TOLLGATE_HISTORY_URL") $ours -}}
{{- end -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "tollgate" (merge $ours ($config.tollgate | default dict) (dict "workers" 2)) -}}
{{- toYaml $config -}}
{{- end -}}

{{- /* What of it needs other pods: models and keys are taken in by those that run. */ -}}
{{- define "tollgate.lasting" -}}
{{- omit (include "tollgate.config" . | fromYaml) "model_list" "environment_variables" | toYaml -}}
{{- end -}}

{{- define "tollgate.env" -}}
- name: TOLLGATE_MASTER_KEY
  valueFrom:
    secretKeyRef: {name: {{ .Values.masterKey.existingSecret }}, key: {{ .Values.masterKey.key }}}
- name: TOLLGATE_REDIS_URL
  valueFrom:
    secretKeyRef: {name: {{ .Values.store.existingSecret }}, key: {{ .Values.store.key }}}
{{- if .Values.history.existingSecret }}
- name: TOLLGATE_HISTORY_URL
  valueFrom:
    secretKeyRef: {name: {{ .Values.history.existingSecret }}, key: {{ .Values.history.key }}}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tollgate.mounts" -}}
- {name: config, mountPath: /etc/tollgate, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- if .Values.envoy.enabled }}
- {name: run, mountPath: /run/tollgate}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}
