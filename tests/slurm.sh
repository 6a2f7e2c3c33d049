#!/usr/bin/env bash
# Runs templates/ci/slurm.sh on a real SLURM of one node, as root: an array of four shards and the merge, whose report must be
# that of one run. Needs Debian's slurm-wlm and munge, and `target/release/zoo`.
#
#   bash tests/slurm.sh [WORK] [MODELS DATASET]
set -euo pipefail
cd "$(dirname "$0")/.."
work=${1:-$(mktemp -d)}
export MODELS=${2:-efficientnet_lite0_pypi} DATASET=${3:---dataset sample} SHARDS=4 OUT=$work/out
export ZOO=$PWD/target/release/zoo ZOO_HOME=${ZOO_HOME:-$work/home} SLURM_CONF=$work/slurm.conf
rm -rf "$OUT" "$work/state"
mkdir -p "$work"/{state,spool,munge}

# What a node says of itself must be what the configuration says of it.
node=$(hostname -s)
cat > "$SLURM_CONF" <<CONF
ClusterName=zoo
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
NodeName=$node NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=60 State=UP
CONF
stop() {
    for name in slurmctld slurmd munged; do
        [ ! -s "$work/$name.pid" ] || kill "$(cat "$work/$name.pid")" 2> /dev/null || true
    done
}
trap stop EXIT
# munged runs as its own user and wants a key and folders of that user's.
dd if=/dev/urandom of="$work/munge/key" bs=1024 count=1 status=none
chown -R munge:munge "$work/munge"
chmod 0711 "$work" && chmod 0755 "$work/munge" && chmod 0400 "$work/munge/key"
runuser -u munge -- munged --force --key-file="$work/munge/key" --socket="$work/munge/socket" --pid-file="$work/munge/pid" \
    --log-file="$work/munge/log" --seed-file="$work/munge/seed"
ln -sf munge/pid "$work/munged.pid"
slurmctld -i
slurmd
for _ in $(seq 60); do
    sinfo -h -o %T 2> /dev/null | grep -q idle && break
    sleep 1
done
sinfo

bash templates/ci/slurm.sh
sleep 2
squeue -o '%.10i %.12j %.10T %.8M %.12E'
while [ -n "$(squeue -h)" ]; do sleep 1; done
scontrol -o show job | sed -E 's/^JobId=([0-9]+) (ArrayJobId=([0-9]+) ArrayTaskId=([0-9-]+) )?.*JobState=([A-Z]+).*RunTime=([0-9:]+).*/job \1 (\3 \4) \5 in \6/' | sort
for log in "$OUT"/*.log; do
    echo "-- $(basename "$log")"
    cat "$log"
done

# shellcheck disable=SC2086
"$ZOO" verify $MODELS $DATASET --offline --report "$work/alone.json" --force --progress none > /dev/null || [ $? -eq 1 ]
cmp <("$ZOO" report --canonical "$work/alone.json") <("$ZOO" report --canonical "$OUT/report.json")
echo "four shards and their merge: the report of one run"
