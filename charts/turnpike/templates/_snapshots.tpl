{{- /*
The channel between controllers and data planes: TLS by a CA that the controllers make and rotate, and
service-account tokens for an audience of their own. All that protects the channel belongs here.
*/}}

{{- define "turnpike.snapshots.port" -}}
18000
{{- end }}

{{- /* The Secret of the CA, and the ConfigMap by which data planes trust it. */}}
{{- define "turnpike.snapshots.ca" -}}
{{ include "turnpike.fullname" . }}-snapshot-ca
{{- end }}

{{- /* A token of the pod's account that is good for the snapshot port alone, as a volume. */}}
{{- define "turnpike.snapshots.token" -}}
- name: token
  projected:
    sources:
    - serviceAccountToken: {audience: turnpike-controller, path: token, expirationSeconds: 3600}
{{- end }}

{{- define "turnpike.snapshots.tokenMount" -}}
- {name: token, mountPath: /var/run/secrets/turnpike, readOnly: true}
{{- end }}

{{- /* Flags of the controller. */}}
{{- define "turnpike.snapshots.controllerArgs" -}}
- --listen={{ include "turnpike.bindAddress" . }}:{{ include "turnpike.snapshots.port" . }}
- --advertise={{ ternary "[$(POD_IP)]" "$(POD_IP)" (eq .Values.ipFamily "IPv6") }}:{{ include "turnpike.snapshots.port" . }}
- --tls-secret={{ include "turnpike.snapshots.ca" . }}
- --service-name={{ include "turnpike.controller.name" . }}
- --token-file=/var/run/secrets/turnpike/token
- --dataplane-account={{ .Release.Namespace }}/{{ include "turnpike.dataPlane.account" . }}
- --controller-account={{ .Release.Namespace }}/{{ include "turnpike.controller.account" . }}
{{- end }}

{{- /* Volumes and mounts of the controller's pods, as lists. */}}
{{- define "turnpike.snapshots.controllerVolumes" -}}
{{ include "turnpike.snapshots.token" . }}
{{- end }}
{{- define "turnpike.snapshots.controllerMounts" -}}
{{ include "turnpike.snapshots.tokenMount" . }}
{{- end }}

{{- /* Rules of the controller in the platform namespace, and in the whole cluster. */}}
{{- define "turnpike.snapshots.controllerRules" }}
- apiGroups: [""]
  resources: [secrets, configmaps]
  resourceNames: [{{ include "turnpike.snapshots.ca" . }}]
  verbs: [get, update]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create]
{{- end }}
{{- define "turnpike.snapshots.controllerClusterRules" }}
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
{{- end }}

{{- /* Flags of the data plane. */}}
{{- define "turnpike.snapshots.dataPlaneArgs" -}}
- --controller=https://{{ include "turnpike.controller.name" . }}.{{ .Release.Namespace }}.svc:{{ include "turnpike.snapshots.port" . }}
- --controller-ca=/etc/turnpike/ca/ca.crt
- --controller-token-file=/var/run/secrets/turnpike/token
{{- end }}

{{- /* Volumes and mounts of the data plane's pods, as lists. */}}
{{- define "turnpike.snapshots.dataPlaneVolumes" -}}
- name: ca
  configMap: {name: {{ include "turnpike.snapshots.ca" . }}}
{{ include "turnpike.snapshots.token" . }}
{{- end }}
{{- define "turnpike.snapshots.dataPlaneMounts" -}}
- {name: ca, mountPath: /etc/turnpike/ca, readOnly: true}
{{ include "turnpike.snapshots.tokenMount" . }}
{{- end }}
