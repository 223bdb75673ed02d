# Programs in the background. Each has $state/run/NAME.pid with three words:
# its pid, who that is (boot and start time, so that a pid used again by some
# other program is never taken for ours), and a fingerprint of how it was
# started, so that a changed flag or configuration means a restart.

# identity PID: unique to one process, or nothing if there is none. A killed one
# whose first thread is a zombie still holds its ports until its last thread ends.
identity() {
  local stat threads
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 0
  threads=("/proc/$1/task"/*)
  set -- ${stat##*) }
  [[ $1 == Z && ${#threads[@]} -le 1 ]] || printf '%s-%s' "$(</proc/sys/kernel/random/boot_id)" "${20}"
}

# pid_of NAME: the pid, if the program runs.
pid_of() {
  local pid who
  read -r pid who _ 2>/dev/null <"$state/run/$1.pid" || return 1
  [[ $(identity "$pid") == "$who" ]] && printf '%s' "$pid"
}

# start NAME COMMAND…: unless it runs already in just this way.
start() {
  local name=$1 print log=$state/log/$1.log; shift
  print=$(started_as "$@")
  if pid_of "$name" >/dev/null; then
    [[ $(cut -d' ' -f3 "$state/run/$name.pid") != "$print" ]] || return 0
    stop "$name"
  fi
  [[ ! -f $log || $(stat -c %s "$log") -lt 50000000 ]] || mv "$log" "$log.1"
  # A session of its own, and none of our open files: not make's, not the lock.
  setsid "$@" >>"$log" 2>&1 </dev/null 3>&- 4>&- 9>&- &
  printf '%s %s %s\n' "$!" "$(identity "$!")" "$print" >"$state/run/$name.pid"
}

# started_as COMMAND…: the words of a command, and the keys and configuration they name.
started_as() {
  local word files=()
  for word; do
    case $word in "$config"/* | "$pki"/*) files+=("$word") ;; esac
  done
  printf '%s\n' "$@" | fingerprint "${files[@]-/dev/null}"
}

# stop NAME [SIGNAL]: asks, waits three seconds, insists. All of them survive that.
stop() {
  local name=$1 pid attempt
  if pid=$(pid_of "$name"); then
    kill "-${2:-TERM}" "$pid"
    for attempt in {1..30}; do
      pid_of "$name" >/dev/null || break
      ((attempt < 30)) && sleep 0.1 || kill -KILL "$pid"
    done
  fi
  rm -f "$state/run/$name.pid"
}

# port_is_free NAME PORT: or held by our own NAME, or soon given back; else says who has it.
port_is_free() {
  local holder attempt
  pid_of "$1" >/dev/null && return
  for attempt in {1..50}; do
    holder=$(ss -Hltnp "sport = :$2") && [[ -n $holder ]] || return 0
    sleep 0.1
  done
  fail "$1 needs port $2, which is in use: $(grep -o 'users:.*' <<<"$holder" || echo "$holder")
Stop that program, or choose nine other ports: make up FASTDEPLOY_PORT=17443"
}
