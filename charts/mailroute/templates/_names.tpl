{{/* The installation's name: every object's name begins with it, also of those that the operator makes. */}}
{{- define "mailroute.name" -}}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9-]{0,39}[a-z0-9])?$" .Release.Name) -}}
{{- fail (printf "the release name %q must be lower-case letters, digits and hyphens, at most 41" .Release.Name) -}}
{{- end -}}
{{- .Release.Name -}}
{{- end -}}

{{/* Of objects without a namespace: another release may have the same name elsewhere. */}}
{{- define "mailroute.clusterName" -}}
{{ .Release.Namespace }}.{{ include "mailroute.name" . }}
{{- end -}}

{{/* What Deployment, StatefulSet and Services select by: never to be changed. */}}
{{- define "mailroute.selector" -}}
app.kubernetes.io/name: mailroute
app.kubernetes.io/instance: {{ include "mailroute.name" . }}
{{- end -}}

{{- define "mailroute.labels" -}}
{{ include "mailroute.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "mailroute.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The operator finds relay pods by it. */}}
{{- define "mailroute.relaySelector" -}}
app.kubernetes.io/name=mailroute,app.kubernetes.io/instance={{ include "mailroute.name" . }},app.kubernetes.io/component=relay
{{- end -}}

{{/* The Secrets in which relays are lent credentials: as kube/credential-shards.ts names them. */}}
{{- define "mailroute.credentials" -}}
[{{ range $i := until 16 }}{{ if $i }}, {{ end }}{{ include "mailroute.name" $ }}-credentials-{{ $i }}{{ end }}]
{{- end -}}

{{/* Pod Security "restricted", for a pod and for its container. */}}
{{- define "mailroute.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "mailroute.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Of a pod: where Prometheus finds its metrics, beside or under what the values of operator or relay say. */}}
{{- define "mailroute.podAnnotations" -}}
{{- $scrape := dict "prometheus.io/scrape" "true" "prometheus.io/port" "9090" "prometheus.io/path" "/metrics" -}}
{{- merge (dict) .podAnnotations $scrape | toYaml -}}
{{- end -}}

{{/* Where pods may be: values of operator or relay. */}}
{{- define "mailroute.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* Each delegation as a MailGrant. */}}
{{- define "mailroute.grants" -}}
{{- range .Values.delegations }}
---
apiVersion: mailroute.dev/v1alpha1
kind: MailGrant
metadata:
  name: {{ include "mailroute.clusterName" $ }}.{{ .name }}
  labels: {{- include "mailroute.labels" $ | nindent 4 }}
spec: {{- merge (dict "className" $.Values.className) (omit . "name") | toYaml | nindent 2 }}
{{- end }}
{{- end -}}

{{/* An address as the network of it alone: a NetworkPolicy takes no bare addresses. */}}
{{- define "mailroute.cidr" -}}
{{- if contains "/" . -}}
{{ . }}
{{- else -}}
{{ . }}/{{ ternary 128 32 (contains ":" .) }}
{{- end -}}
{{- end -}}

{{/* Whether ServiceAccount tokens are taken: reviewing them is a right on the cluster. */}}
{{- define "mailroute.tokens" -}}
{{- if and .Values.relay.authentication.serviceAccounts.enabled (not .Values.watchNamespaces) -}}true{{- end -}}
{{- end -}}

{{/* Whether admission policies may be made: they belong to the cluster, and Kubernetes has had them since 1.30. */}}
{{- define "mailroute.admission" -}}
{{- if and (not .Values.watchNamespaces) (.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy") -}}true{{- end -}}
{{- end -}}

{{/* How many relays there are to be. With an autoscaler as many as there are: left out, a number that was there before
would be 1 until the autoscaler has spoken. Empty where that is not known: at the first installation, and where the
chart is rendered without a cluster (helm template). An autoscaler leaves 0 alone. */}}
{{- define "mailroute.relayReplicas" -}}
{{- if not .Values.relay.autoscaling.enabled -}}
{{ .Values.relay.replicas }}
{{- else -}}
{{- with lookup "apps/v1" "StatefulSet" .Release.Namespace (printf "%s-relay" (include "mailroute.name" .)) -}}
{{ .spec.replicas | default $.Values.relay.autoscaling.minReplicas }}
{{- end -}}
{{- end -}}
{{- end -}}
