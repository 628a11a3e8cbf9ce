{{- /* Where data planes count: refuses two answers to that, gives none or one. */}}

{{- define "turnpike.redis.check" -}}
{{- $answers := list }}
{{- if .Values.redis.url }}{{ $answers = append $answers "redis.url" }}{{ end }}
{{- if .Values.redis.existingSecret.name }}{{ $answers = append $answers "redis.existingSecret.name" }}{{ end }}
{{- if .Values.redis.embedded }}{{ $answers = append $answers "redis.embedded" }}{{ end }}
{{- if gt (len $answers) 1 }}
{{- fail (printf "%s name different Redis servers: set one of them" (join " and " $answers)) }}
{{- end }}
{{- end }}

{{- /* The environment variable of the data plane, as a list of one or none. */}}
{{- define "turnpike.redis.env" -}}
{{- include "turnpike.redis.check" . }}
{{- if .Values.redis.existingSecret.name }}
- name: TURNPIKE_REDIS
  valueFrom:
    secretKeyRef:
      name: {{ .Values.redis.existingSecret.name }}
      key: {{ .Values.redis.existingSecret.key }}
{{- else if .Values.redis.url }}
- name: TURNPIKE_REDIS
  value: {{ .Values.redis.url | quote }}
{{- else if .Values.redis.embedded }}
- name: TURNPIKE_REDIS
  value: redis://{{ include "turnpike.redis.name" . }}.{{ .Release.Namespace }}.svc:6379
{{- end }}
{{- end }}
