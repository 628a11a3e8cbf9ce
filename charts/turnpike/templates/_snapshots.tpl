{{- /*
The channel between controllers and data planes: what each side is told about it, and what the
controller may do for it. All that protects the channel belongs here.
*/}}

{{- define "turnpike.snapshots.port" -}}
18000
{{- end }}

{{- /* Flags of the controller. */}}
{{- define "turnpike.snapshots.controllerArgs" -}}
- --listen={{ include "turnpike.bindAddress" . }}:{{ include "turnpike.snapshots.port" . }}
- --advertise={{ ternary "[$(POD_IP)]" "$(POD_IP)" (eq .Values.ipFamily "IPv6") }}:{{ include "turnpike.snapshots.port" . }}
- --insecure-snapshots
{{- end }}

{{- /* Volumes and mounts of the controller's pods, as lists. */}}
{{- define "turnpike.snapshots.controllerVolumes" -}}
{{- end }}
{{- define "turnpike.snapshots.controllerMounts" -}}
{{- end }}

{{- /* Rules of the controller in the platform namespace, and in the whole cluster. */}}
{{- define "turnpike.snapshots.controllerRules" -}}
{{- end }}
{{- define "turnpike.snapshots.controllerClusterRules" -}}
{{- end }}

{{- /* Flags of the data plane. */}}
{{- define "turnpike.snapshots.dataPlaneArgs" -}}
- --controller=http://{{ include "turnpike.controller.name" . }}.{{ .Release.Namespace }}.svc:{{ include "turnpike.snapshots.port" . }}
{{- end }}

{{- /* Volumes and mounts of the data plane's pods, as lists. */}}
{{- define "turnpike.snapshots.dataPlaneVolumes" -}}
{{- end }}
{{- define "turnpike.snapshots.dataPlaneMounts" -}}
{{- end }}
