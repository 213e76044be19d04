#!/bin/sh
# The certificate of the admission server without cert-manager: makes an authority and a certificate for DAYS
# (default 365), stores the certificate in the Secret that server.yaml mounts, and the authority in the webhook.
#
# Run it after `kubectl apply -k istio/admission/base`, and again before the certificate expires: the server uses the new
# one without a restart. The key of the authority is not kept. Needs kubectl and openssl 1.1.1 or newer.
set -eu

namespace=istio-system
name=divvy-admission
webhook=validatingwebhookconfiguration/divvy
days=${DAYS:-365}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
umask 077
cd "$folder"

openssl ecparam -name prime256v1 -genkey -noout -out authority.key
openssl req -x509 -new -key authority.key -days "$days" -subj "/CN=$name-authority" -out authority.crt
openssl ecparam -name prime256v1 -genkey -noout -out tls.key
openssl req -new -key tls.key -subj "/CN=$name" -out tls.csr
cat >extensions <<EXTENSIONS
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:$name.$namespace.svc
EXTENSIONS
openssl x509 -req -in tls.csr -CA authority.crt -CAkey authority.key -CAcreateserial -days "$days" \
  -extfile extensions -out tls.crt 2>/dev/null

# The webhook trusts the old and the new authority until the last pod serves the new certificate, so that no request
# is left unanswered.
first=$(kubectl get "$webhook" -o jsonpath='{.webhooks[0].clientConfig.caBundle}' | base64 -d |
  awk '/BEGIN CERTIFICATE/ { part++ } part == 1')
bundle=$({ cat authority.crt; printf '%s\n' "$first"; } | base64 | tr -d '\n')
kubectl patch "$webhook" --type=json \
  -p "[{\"op\": \"add\", \"path\": \"/webhooks/0/clientConfig/caBundle\", \"value\": \"$bundle\"}]"
kubectl -n "$namespace" create secret tls "$name-tls" --cert=tls.crt --key=tls.key --dry-run=client -o yaml |
  kubectl apply -f -
