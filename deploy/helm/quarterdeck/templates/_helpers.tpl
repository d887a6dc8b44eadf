{{- define "quarterdeck.labels" -}}
app.kubernetes.io/name: quarterdeck
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "quarterdeck.selector" -}}
app.kubernetes.io/name: quarterdeck
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "quarterdeck.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "quarterdeck.secret" -}}
{{ .Values.secrets.existing | default (printf "%s-secrets" .Release.Name) }}
{{- end }}

{{/* What every pod of the image has: nobody in particular, nothing to write on but its volumes. */}}
{{- define "quarterdeck.pod" -}}
serviceAccountName: {{ .Release.Name }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "quarterdeck.container" -}}
image: {{ include "quarterdeck.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{ include "quarterdeck.confined" . }}
{{- end }}

{{- define "quarterdeck.confined" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* What API and processor need beside the settings. */}}
{{- define "quarterdeck.backend" -}}
envFrom:
  - configMapRef: {name: {{ .Release.Name }}-settings}
env:
  - {name: QUARTERDECK_DATABASE_URL_FILE, value: /run/secrets/quarterdeck/database-url}
  - {name: QUARTERDECK_NATS_TOKEN_FILE, value: /run/secrets/quarterdeck/nats-token}
  - {name: QUARTERDECK_CA_DIR, value: /run/secrets/quarterdeck-keys}
  {{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
  - name: {{ . }}
    valueFrom: {secretKeyRef: {name: {{ include "quarterdeck.secret" $ }}, key: {{ . }}, optional: true}}
  {{- end }}
{{- end }}

{{- define "quarterdeck.mounts" -}}
volumeMounts:
  - {name: secrets, mountPath: /run/secrets/quarterdeck, readOnly: true}
  - {name: keys, mountPath: /run/secrets/quarterdeck-keys, readOnly: true}
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "quarterdeck.volumes" -}}
volumes:
  - name: secrets
    secret:
      secretName: {{ include "quarterdeck.secret" . }}
      defaultMode: 0440
      items: [{key: database-url, path: database-url}, {key: nats-token, path: nats-token}]
  - name: keys
    secret: {secretName: {{ .Values.keysSecret }}, defaultMode: 0440}
  - name: tmp
    emptyDir: {}
{{- end }}

{{/* One replica a node, where there are nodes enough. */}}
{{- define "quarterdeck.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ include "quarterdeck.selector" . | nindent 8 }}
{{- end }}

{{/* A role begins anew when its settings have changed. */}}
{{- define "quarterdeck.annotations" -}}
quarterdeck/settings: {{ include (print .Template.BasePath "/configmap.yaml") . | sha256sum }}
{{- end }}
