#!/bin/sh
# Creates the RayJob of this night, waits for its end, exits as featflow did. Run by cronjob.yaml:
#
#   JOB_NAME=featflow-nightly-29405880 JOB_UID=... sh nightly.sh rayjob.yaml
#
# Exit codes: featflow's own (0, 2, 3, 4, 5); 2 also where the API refuses the RayJob; 4 where the RayJob ended without featflow; 1 where
# somebody stopped or removed it; 75 where the Kubernetes API did not answer: the Job makes another pod, which finds the RayJob.
set -eu

template=$1
wait_seconds=${WAIT_SECONDS:-15}
most_failures=${MOST_FAILURES:-20}

owner=$(printf '{"apiVersion":"batch/v1","kind":"Job","name":"%s","uid":"%s"}' "$JOB_NAME" "$JOB_UID")
named=$(printf '{"metadata":{"name":"%s","ownerReferences":[%s]}}' "$JOB_NAME" "$owner")
manifest=$(kubectl patch --local --type=merge --filename "$template" --patch "$named" --output json)

if said=$(printf '%s' "$manifest" | kubectl create --filename - 2>&1); then
  echo "$said"
else
  case $said in
    *AlreadyExists*) echo "rayjob $JOB_NAME is there already; waiting for it" ;;
    *"is invalid"* | *Invalid* | *BadRequest* | *Forbidden*) echo "$said" >&2; exit 2 ;;
    *) echo "$said" >&2; exit 75 ;;
  esac
fi

failures=0
before=
while true; do
  if state=$(kubectl get rayjobs.ray.io "$JOB_NAME" --output jsonpath='{.status.jobDeploymentStatus}/{.status.jobStatus}' 2>&1); then
    failures=0
    [ "$state" = "$before" ] || echo "rayjob $JOB_NAME: $state"
    before=$state
    case $state in
      Complete/SUCCEEDED) exit 0 ;;
      Complete/*) exit 1 ;;
      ValidationFailed/*) code=2; break ;;
      Failed/*) code=4; break ;;
    esac
  else
    case $state in
      *NotFound*) echo "$state" >&2; exit 1 ;;
    esac
    failures=$((failures + 1))
    echo "$state" >&2
    [ "$failures" -lt "$most_failures" ] || exit 75
  fi
  sleep "$wait_seconds"
done

# Ray says in its first line how the driver ended, then the end of its log; KubeRay hands them on.
message=$(kubectl get rayjobs.ray.io "$JOB_NAME" --output jsonpath='{.status.reason}: {.status.message}' || true)
echo "$message" >&2
said=$(printf '%s' "$message" | sed -n '1s/.*failed with exit code \([1-5]\)\([^0-9].*\)\{0,1\}$/\1/p')
exit "${said:-$code}"
