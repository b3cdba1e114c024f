"""A trace that contains a line of every kind."""

from __future__ import annotations

EXAMPLE = b"""\
{"slimtrace":1,"version":"0"}
{"run":{"command":["app"],"cwd":"/work","user":"1:2","env":{"PATH":"/bin"},"image":"rootfs:/",\
"image_digest":null,"started":"2024-01-01T00:00:00Z","machine":"x86_64","engine":"notify",\
"mounts":["/srv:/data:ro"],"before":[{"path":"/data","blob":"before-1"}],\
"cap_add":["NET_RAW"],"network":"none","hostname":"h","driving":{"ready":"log:up",\
"ready_status":"2xx","ready_timeout":5,"http_get":["/"],"exec":["true"],\
"exec_in":[{"argv":["a","b"]}],"exec_timeout":7.5,"stop_after":1,"stop_signal":"SIGHUP",\
"stop_grace":3,"directory":"/work"}}}
{"process":1,"parent":null,"exe":"/bin/app","argv":["app"]}
{"process":2,"parent":1,"exe":"/bin/other","argv_b64":["L27//nQ="]}
{"use":"read","t":0.5,"p":1,"path":"/file","was":"file","stat":[33188,1,2,3,4]}
{"use":"stat","t":0.6,"p":2,"path_b64":"L27//nQ=","was":"missing"}
{"use":"create","t":0.7,"p":2,"path":"/new","was":"created"}
{"save":"/file","blob":"abc","stat":[33188,1,2,3,4]}
{"syscall":"openat"}
{"argument":"socket","value":10}
{"argument":"socket","value":2}
{"narrow":true}
{"listen":"tcp","port":8080}
{"gap":"io-uring-refused","detail":"why"}
{"exit":2,"status":9}
{"driven":{"ready":0.25,"answers":[{"driver":"GET /","status":200},\
{"driver":"true","status":null}],"failure":"cannot"}}
{"end":{"seconds":0.8,"exit_status":9,"signal":null,"complete":true,\
"stdin":"pipe"}}
{"healed":"/late"}
{"healed_b64":"L27//nQ="}
{"healed":"/late"}
{"jvm":"/jdk","modules":["java.sql","java.base"],"of":0}
"""
