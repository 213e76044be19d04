;; A small filter by hand, so that the host can be tested without the real one.
;;
;; Configuration: what the plugin gets is kept in shared data under "conf" and
;; refused if empty. A request's header x-in becomes x-out, its path the
;; property "seen"; each request increments the counter "requests" and writes
;; the wall clock into the gauge "clock". A path "/trap" traps, and without any
;; header x-in the request is paused.
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $get_buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func $get_header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_pairs" (func $get_pairs (param i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value" (func $set_header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_property" (func $get_property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data" (func $set_shared (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
  (import "env" "proxy_record_metric" (func $record (param i32 i64) (result i32)))
  (import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
  (import "env" "proxy_levitate" (func $levitate (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))

  (memory (export "memory") 1)
  ;; 0: returned pointer, 4: returned length, 8: counter, 12: gauge, 16: time
  (data (i32.const 100) "conf")
  (data (i32.const 110) "x-in")
  (data (i32.const 120) "x-out")
  (data (i32.const 130) "requests")
  (data (i32.const 140) "clock")
  (data (i32.const 150) "response\00code")
  (data (i32.const 170) "code")
  (data (i32.const 180) ":path")
  (data (i32.const 190) "no x-in")

  (global $free (mut i32) (i32.const 4096))
  ;; One answer is in use at a time, so the same place serves for all.
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (global.get $free))

  (func (export "_initialize")
    ;; The environment is logged as it stands, NULs and all.
    (drop (call $environ_sizes (i32.const 0) (i32.const 4)))
    (drop (call $environ (i32.const 1000) (i32.const 1100)))
    (drop (call $log (i32.const 2) (i32.const 1100) (i32.load (i32.const 4)))))

  (func (export "proxy_on_context_create") (param i32 i32))

  (func (export "proxy_on_configure") (param i32) (param $size i32) (result i32)
    (if (i32.eqz (local.get $size)) (then (return (i32.const 0))))
    (if (call $get_buffer (i32.const 7) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4))
      (then (return (i32.const 0))))
    (drop (call $set_shared (i32.const 100) (i32.const 4)
      (i32.load (i32.const 0)) (i32.load (i32.const 4)) (i32.const 0)))
    (drop (call $define (i32.const 0) (i32.const 130) (i32.const 8) (i32.const 8)))
    (drop (call $define (i32.const 1) (i32.const 140) (i32.const 5) (i32.const 12)))
    (i32.const 1))

  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $get_pairs (i32.const 0) (i32.const 0) (i32.const 4)))
    (drop (call $increment (i32.load (i32.const 8)) (i64.const 1)))
    (drop (call $now (i32.const 16)))
    (drop (call $record (i32.load (i32.const 12)) (i64.load (i32.const 16))))
    (drop (call $get_header (i32.const 0) (i32.const 180) (i32.const 5) (i32.const 0) (i32.const 4)))
    (if (i32.eq (i32.load8_u offset=1 (i32.load (i32.const 0))) (i32.const 116)) (then (unreachable)))
    (if (call $get_header (i32.const 0) (i32.const 110) (i32.const 4) (i32.const 0) (i32.const 4))
      (then
        (drop (call $log (i32.const 3) (i32.const 190) (i32.const 7)))
        (return (i32.const 1))))
    (drop (call $set_header (i32.const 0) (i32.const 120) (i32.const 5)
      (i32.load (i32.const 0)) (i32.load (i32.const 4))))
    (i32.const 0))

  (func (export "proxy_on_log") (param i32)
    ;; The response code as the host hands it over, under a name of our own.
    (if (i32.eqz (call $get_property (i32.const 150) (i32.const 13) (i32.const 0) (i32.const 4)))
      (then (drop (call $set_property (i32.const 170) (i32.const 4)
        (i32.load (i32.const 0)) (i32.load (i32.const 4))))))
    ;; Not allowed any more: nothing of it may arrive.
    (drop (call $set_header (i32.const 0) (i32.const 110) (i32.const 4) (i32.const 110) (i32.const 4))))

  (func (export "proxy_on_tick") (param i32)
    (drop (call $levitate (i32.const 0)))
    ;; A page with every tick.
    (drop (memory.grow (i32.const 1))))
)
