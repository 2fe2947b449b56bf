{{/* Names, labels and pieces that several objects share. */}}

{{- define "pocketfleet.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "pocketfleet.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "pocketfleet.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "pocketfleet.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Selectors are immutable, so they hold only what never changes. Takes (dict "root" $ "component" "worker"). */}}
{{- define "pocketfleet.selector" -}}
app.kubernetes.io/name: {{ include "pocketfleet.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "pocketfleet.labels" -}}
{{ include "pocketfleet.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: pocketfleet
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* A digest wins over a tag. Takes (dict "root" $ "image" .Values.worker.image). */}}
{{- define "pocketfleet.image" -}}
{{- $registry := .root.Values.global.imageRegistry -}}
{{- $name := ternary .image.repository (printf "%s/%s" $registry .image.repository) (empty $registry) -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "pocketfleet.secretName" -}}
{{- default (printf "%s-auth" (include "pocketfleet.fullname" .)) .Values.auth.existingSecret -}}
{{- end -}}

{{- define "pocketfleet.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "pocketfleet.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "pocketfleet.natsUrl" -}}
{{- if .Values.nats.enabled -}}
nats://{{ include "pocketfleet.fullname" . }}-nats:4222
{{- else -}}
{{- .Values.nats.external.url -}}
{{- end -}}
{{- end -}}

{{/* The restricted profile, for the pod and for each container. */}}
{{- define "pocketfleet.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "pocketfleet.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Tokens come from the secret, never from a value. */}}
{{- define "pocketfleet.tokenEnv" -}}
- name: POCKETFLEET_TOKEN
  valueFrom:
    secretKeyRef: { name: {{ include "pocketfleet.secretName" . }}, key: token }
- name: POCKETFLEET_NATS_TOKEN
  valueFrom:
    secretKeyRef: { name: {{ include "pocketfleet.secretName" . }}, key: nats-token }
{{- end -}}

{{- define "pocketfleet.placement" -}}
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "pocketfleet.natsConfig" -}}
server_name: $SERVER_NAME
port: 4222
http_port: 8222
max_payload: {{ .Values.nats.maxPayload }}
max_pending: {{ .Values.nats.maxPending }}
# Quoted in the environment, so that a token of digits stays a string.
authorization { token: $QUOTED_TOKEN }
# The journal is only acknowledged when it is on disk.
jetstream { store_dir: /data, sync_interval: always }
{{- end -}}
