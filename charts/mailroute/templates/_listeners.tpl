{{/*
The relays' listeners as a list, in JSON: name, kind, container port, Service port, the PROXY twin's container port.
Ports are told by number everywhere: names of ports may have only 15 characters.
*/}}
{{- define "mailroute.listeners" -}}
{{- $relay := .Values.relay -}}
{{- $all := list (dict "name" "smtp" "kind" "smtp" "port" 2525 "servicePort" $relay.service.port "twin" 2526) -}}
{{- if $relay.submission.enabled -}}
{{- $all = append $all (dict "name" "submission" "kind" "submission" "port" 1587 "servicePort" $relay.submission.port "twin" 1588) -}}
{{- end -}}
{{- if $relay.submissions.enabled -}}
{{- $all = append $all (dict "name" "submissions" "kind" "submissions" "port" 1465 "servicePort" $relay.submissions.port "twin" 1466) -}}
{{- end -}}
{{- $all | toJson -}}
{{- end -}}

{{/* What a Service that may be reached from outside has beside its ports: values of the Service. */}}
{{- define "mailroute.outerService" -}}
type: {{ .type }}
{{- if ne .type "ClusterIP" }}
externalTrafficPolicy: {{ .externalTrafficPolicy }}
{{- end }}
{{- if eq .type "LoadBalancer" }}
{{- with .loadBalancerClass }}
loadBalancerClass: {{ . }}
{{- end }}
{{- with .loadBalancerSourceRanges }}
loadBalancerSourceRanges: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The Secrets of the certificates as a list, in JSON; the first is for clients that ask for no name. */}}
{{- define "mailroute.tlsSecrets" -}}
{{- with .Values.relay.tls -}}
{{- if .secretName -}}
{{- concat (list .secretName) .sniSecretNames | toJson -}}
{{- else -}}
[]
{{- end -}}
{{- end -}}
{{- end -}}
