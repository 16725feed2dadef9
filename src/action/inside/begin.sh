# Starts the installer ($1) with its order ($2), once: it goes on when this connection is gone. A failed one may be started again.
dir=/run/bringup/install
umask 077
mkdir -p $dir && cd $dir || exit 1
alive() { [ -s pid ] && tr '\0' ' ' <"/proc/$(cat pid)/cmdline" 2>/dev/null | grep -q 'install/installer'; }
if [ -e begun ] && { alive || grep -q '^done' state 2>/dev/null; }; then
  echo "begun already"
  exit 0
fi
printf '%s' "$1" >installer && printf '%s' "$2" >order && echo 'running start' >state && : >log || exit 1
setsid sh $dir/installer </dev/null >>log 2>&1 &
echo $! >pid
: >begun
echo started
