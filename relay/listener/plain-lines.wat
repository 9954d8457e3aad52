;; Goes over whole lines of ordinary mail, sixteen octets at a time. body-faults.ts is what it works for, and looks at
;; all that it stops at. `npm run generate` makes plain-lines.wasm of this.
(module
  ;; The first 64 KiB are the octets; what is read beyond their end counts for nothing. Behind them two numbers of
  ;; 32 bits: where the present line began, and the octets of the longest line so far, its end not counted.
  (memory (export "memory") 2)
  (global $lineStartAt i32 (i32.const 65536))
  (global $longestAt i32 (i32.const 65540))

  ;; The place of the first CR, LF or NUL in [at, end) that is not of a CRLF within it; `end` where there is none.
  (func (export "skipPlain") (param $at i32) (param $end i32) (result i32)
    (local $octets v128)
    (local $found i32)
    (local $lineStart i32)
    (local $line i32)
    (local $longest i32)
    (local.set $lineStart (i32.load (global.get $lineStartAt)))
    (local.set $longest (i32.load (global.get $longestAt)))
    (block $stop
      (loop $next
        (br_if $stop (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $octets (v128.load (local.get $at)))
        (local.set $found
          (i8x16.bitmask
            (v128.or
              (i8x16.eq (local.get $octets) (i8x16.splat (i32.const 0)))
              (v128.or
                (i8x16.eq (local.get $octets) (i8x16.splat (i32.const 10)))
                (i8x16.eq (local.get $octets) (i8x16.splat (i32.const 13)))))))
        (if (i32.eqz (local.get $found))
          (then
            (local.set $at (i32.add (local.get $at) (i32.const 16)))
            (br $next)))
        (local.set $at (i32.add (local.get $at) (i32.ctz (local.get $found))))
        (br_if $stop (i32.ge_u (i32.add (local.get $at) (i32.const 1)) (local.get $end)))
        (br_if $stop (i32.ne (i32.load16_u (local.get $at)) (i32.const 0x0a0d)))
        (local.set $line (i32.sub (local.get $at) (local.get $lineStart)))
        (if (i32.gt_s (local.get $line) (local.get $longest))
          (then (local.set $longest (local.get $line))))
        (local.set $at (i32.add (local.get $at) (i32.const 2)))
        (local.set $lineStart (local.get $at))
        (br $next)))
    (i32.store (global.get $lineStartAt) (local.get $lineStart))
    (i32.store (global.get $longestAt) (local.get $longest))
    (select (local.get $at) (local.get $end) (i32.lt_u (local.get $at) (local.get $end)))))
