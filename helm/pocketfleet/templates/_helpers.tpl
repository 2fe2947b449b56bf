{{/* Names, labels and pieces that several objects share. */}}

{{- define "pocketfleet.name" -}}
{{- default .Chart.Name .Values.nameOverride -}}
{{- end -}}

{{/*
A DNS label of at most 40 characters for a text that is none: dots become dashes, the first character becomes a letter, and
the end becomes a digest of the release's name, so that two releases with a common beginning have two names.
Takes (dict "root" $ "text" TEXT).
*/}}
{{- define "pocketfleet.mended" -}}
{{- $text := .text | replace "." "-" -}}
{{- $text = ternary $text (printf "pf-%s" $text) (regexMatch "^[a-z]" $text) -}}
{{- printf "%s-%s" (regexReplaceAll "-+$" (trunc 31 $text) "") (.root.Release.Name | sha256sum | trunc 8) -}}
{{- end -}}

{{/*
Beginning of the name of each object: a DNS label (a Service's name is one) of at most 40 characters, so that the longest
name that is made of it (a StatefulSet's pod, the label with its revision) stays within 63.
*/}}
{{- define "pocketfleet.fullname" -}}
{{- $name := include "pocketfleet.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if and (le (len .Release.Name) 40) (regexMatch "^[a-z][a-z0-9-]*$" $full) -}}
{{- regexReplaceAll "-+$" (trunc 40 $full) "" -}}
{{- else -}}
{{- include "pocketfleet.mended" (dict "root" . "text" $full) -}}
{{- end -}}
{{- end -}}

{{/* Name of the fleet; the coordinator takes ^[a-z0-9-]{1,40}$. */}}
{{- define "pocketfleet.fleet" -}}
{{- if .Values.fleet -}}
{{- .Values.fleet -}}
{{- else if regexMatch "^[a-z0-9-]{1,40}$" .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- include "pocketfleet.mended" (dict "root" . "text" .Release.Name) -}}
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
app.kubernetes.io/version: {{ .root.Chart.AppVersion | replace "+" "_" | trunc 63 | quote }}
app.kubernetes.io/part-of: pocketfleet
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
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
{{- if and (not .Values.nats.enabled) (not .Values.auth.existingSecret) -}}
{{- fail "nats.enabled is false, so the token of the broker at nats.external.url cannot be made up: put it under the key nats-token of a secret, the administrator's token under the key token, that of the workers under the key worker-token, and name that secret in auth.existingSecret" -}}
{{- end -}}
{{- default (printf "%s-auth" (include "pocketfleet.fullname" .)) .Values.auth.existingSecret -}}
{{- end -}}

{{/* The secret with the keys of the broker. */}}
{{- define "pocketfleet.brokerSecretName" -}}
{{- default (printf "%s-broker" (include "pocketfleet.fullname" .)) .Values.auth.existingBrokerSecret -}}
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
{{ ternary "tls" "nats" (ne .Values.tls.source "none") }}://{{ include "pocketfleet.fullname" . }}-nats:4222
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

{{/*
Tokens of callers come from files of the secret, which follow it without a restart. Takes (dict "root" $ "keys" (list KEY ...)).
*/}}
{{- define "pocketfleet.tokenVolume" -}}
- name: auth
  secret:
    secretName: {{ include "pocketfleet.secretName" .root }}
    defaultMode: 0440
    items:
      {{- range .keys }}
      - { key: {{ . }}, path: {{ . }} }
      {{- end }}
{{- end -}}

{{/* The token of a broker elsewhere comes from the secret, never from a value. */}}
{{- define "pocketfleet.natsTokenEnv" -}}
{{- if not .Values.nats.enabled -}}
- name: POCKETFLEET_NATS_TOKEN
  valueFrom:
    secretKeyRef: { name: {{ include "pocketfleet.secretName" . }}, key: nats-token }
{{- end -}}
{{- end -}}

{{/* "true" where gRPC and the broker of the chart are encrypted. */}}
{{- define "pocketfleet.encrypts" -}}
{{- if ne .Values.tls.source "none" -}}true{{- end -}}
{{- end -}}

{{/* The secret with the certificate of one part. Takes (dict "root" $ "component" "worker"). */}}
{{- define "pocketfleet.tlsSecret" -}}
{{- default (printf "%s-%s-tls" (include "pocketfleet.fullname" .root) .component) (get .root.Values.tls.secrets .component) -}}
{{- end -}}

{{/* Files of that secret, which follow it without a restart. */}}
{{- define "pocketfleet.tlsVolume" -}}
- name: tls
  secret: { secretName: {{ include "pocketfleet.tlsSecret" . }}, defaultMode: 0440 }
{{- end -}}

{{- define "pocketfleet.tlsEnv" -}}
- { name: POCKETFLEET_TLS_CERT_FILE, value: /etc/pocketfleet/tls/tls.crt }
- { name: POCKETFLEET_TLS_KEY_FILE, value: /etc/pocketfleet/tls/tls.key }
- { name: POCKETFLEET_TLS_CA_FILE, value: /etc/pocketfleet/tls/ca.crt }
{{- end -}}

{{/*
nats-server takes up new certificates when it is signalled. So the shell looks at the files, passes a stop on, and ends as
the server ends.
*/}}
{{- define "pocketfleet.natsScript" -}}
nats-server --config /etc/nats/nats.conf &
server=$!
stopping=
trap 'stopping=1; kill -TERM "$server"' TERM INT
look() { cat /etc/nats-tls/* | sha256sum; }
seen=$(look)
while [ -z "$stopping" ] && kill -0 "$server" 2>/dev/null; do
  sleep 5 &
  wait $!
  now=$(look)
  if [ "$now" != "$seen" ]; then
    seen=$now
    kill -HUP "$server"
  fi
done
wait "$server"
{{- end -}}

{{/* The pod that makes the secret. */}}
{{- define "pocketfleet.keysPod" -}}
{{- $scope := dict "root" . "component" "keys" -}}
metadata:
  labels:
    {{- include "pocketfleet.labels" $scope | nindent 4 }}
  {{- with .Values.auth.keys.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "pocketfleet.fullname" . }}-keys
  automountServiceAccountToken: true
  restartPolicy: Never
  securityContext:
    {{- include "pocketfleet.podSecurity" . | nindent 4 }}
  {{- include "pocketfleet.placement" (dict "root" $ "part" .Values.auth.keys) | nindent 2 }}
  containers:
    - name: keys
      image: {{ include "pocketfleet.image" (dict "root" $ "image" .Values.coordinator.image) }}
      imagePullPolicy: {{ .Values.coordinator.image.pullPolicy }}
      command: [node, dist/coordinator/kubernetes/keys-main.js]
      securityContext:
        {{- include "pocketfleet.containerSecurity" . | nindent 8 }}
      env:
        {{- if not .Values.auth.existingSecret }}
        - { name: POCKETFLEET_KEY_SECRET, value: {{ include "pocketfleet.secretName" . | quote }} }
        - { name: POCKETFLEET_KEY_NAMES, value: "token,worker-token" }
        {{- end }}
        {{- if and .Values.nats.enabled (not .Values.auth.existingBrokerSecret) }}
        - { name: POCKETFLEET_BROKER_SECRET, value: {{ include "pocketfleet.brokerSecretName" . | quote }} }
        {{- end }}
        - name: POCKETFLEET_POD_NAMESPACE
          valueFrom:
            fieldRef: { fieldPath: metadata.namespace }
        - { name: POCKETFLEET_LOG_LEVEL, value: {{ .Values.logLevel | quote }} }
      # What it says at its end is shown with the pod.
      terminationMessagePolicy: FallbackToLogsOnError
      resources:
        {{- toYaml .Values.auth.keys.resources | nindent 8 }}
      volumeMounts:
        - { name: tmp, mountPath: /tmp }
  volumes:
    - name: tmp
      emptyDir: {}
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

{{/* An egress rule. */}}
{{- define "pocketfleet.toApiServer" -}}
- ports: [{ port: 443, protocol: TCP }, { port: 6443, protocol: TCP }]
  {{- with .Values.networkPolicy.apiServerCidr }}
  to: [{ ipBlock: { cidr: {{ . | quote }} } }]
  {{- end }}
{{- end -}}

{{- define "pocketfleet.natsConfig" -}}
server_name: $SERVER_NAME
port: 4222
http_port: 8222
max_payload: {{ .Values.nats.maxPayload }}
max_pending: {{ .Values.nats.maxPending }}
# Who may connect: the operator and the accounts, from the secret.
include "nats-accounts.conf"
{{- if include "pocketfleet.encrypts" . }}
# Every client shows a certificate of the fleet. The files are looked at again after a signal.
tls { cert_file: /etc/nats-tls/tls.crt, key_file: /etc/nats-tls/tls.key, ca_file: /etc/nats-tls/ca.crt, verify: true }
{{- end }}
# The journal is only acknowledged when it is on disk.
jetstream { store_dir: /data, sync_interval: always }
{{- end -}}
