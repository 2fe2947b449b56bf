;; The loops of the all-reduce over one shared memory, in WebAssembly with 128-bit vectors. Decides only how
;; single numbers are added, rounded and packed. `npm run generate:kernels` assembles this file into wasm.ts.
;; script.ts has the same loops in JavaScript, and a test compares the two bit for bit.
;;
;; What every function relies on:
;;  * Every count is a number of elements and a multiple of 256, every address a multiple of 4. The callers pad, so no
;;    loop has a ragged end, and 256 elements of int8 share one scale.
;;  * Operations are those of IEEE 754 float32, each rounded once and never fused. A fused multiply-add would round
;;    once where two operations round twice, and the bits would depend on the machine.
;;  * A NaN is always stored as 0x7fc00000. Which operand's payload survives an operation is the processor's choice, and
;;    sums must be the same bits everywhere. The test for it is x = x, which is false for a NaN alone.
;;  * The memory is shared with another thread, but no range is written while that thread uses it, so plain loads and
;;    stores suffice.
;;
;; Loops are unrolled by hand to 64 or 32 bytes: independent operations fill the processor's pipelines, and a
;; loop's own arithmetic is shared by more elements.
;;
;; bfloat16 is the upper half of a float32: 8 bits of exponent, 7 of fraction. Rounding to the nearest, ties
;; to even, is integer arithmetic on the bits: add 0x7fff and the lowest bit that stays, then drop the lower
;; half. A carry into the exponent is right, also the one from the largest finite number to infinity.
;;
;; int8, for each block of 256 elements x, takes 260 bytes: a float32 scale, then 256 signed bytes q in
;; -127..127.
;;
;;   top   = max |x|                   scale = top / 127
;;   q     = round(x * (127 / top))    to the nearest integer, ties to even
;;   image = q * scale                 what a receiver computes
;;   r     = x - image                 what is left for the next step: |r| <= scale / 2, apart from roundings
;;
;; 127 / top is computed once and multiplied, because 256 divisions would cost more than all the rest. The
;; product can differ from the quotient in its last bit, which moves an x on the border of two q to the other
;; one; r takes that up.

(module
  ;; One page at least, 4 GiB at most; whoever creates the memory decides its size.
  (import "env" "memory" (memory 1 65536 shared))

  ;; into[i] = left[i] + right[i]; `into` may be one of the two.
  (func (export "add") (param $into i32) (param $left i32) (param $right i32) (param $count i32)
    (local $end i32) (local $nan v128) (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local.set $nan (v128.const i32x4 0x7fc00000 0x7fc00000 0x7fc00000 0x7fc00000))
    (local.set $end (i32.add (local.get $into) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $into) (local.get $end)))
        (local.set $a (f32x4.add (v128.load (local.get $left)) (v128.load (local.get $right))))
        (local.set $b (f32x4.add (v128.load offset=16 (local.get $left)) (v128.load offset=16 (local.get $right))))
        (local.set $c (f32x4.add (v128.load offset=32 (local.get $left)) (v128.load offset=32 (local.get $right))))
        (local.set $d (f32x4.add (v128.load offset=48 (local.get $left)) (v128.load offset=48 (local.get $right))))
        (v128.store (local.get $into)
          (v128.bitselect (local.get $a) (local.get $nan) (f32x4.eq (local.get $a) (local.get $a))))
        (v128.store offset=16 (local.get $into)
          (v128.bitselect (local.get $b) (local.get $nan) (f32x4.eq (local.get $b) (local.get $b))))
        (v128.store offset=32 (local.get $into)
          (v128.bitselect (local.get $c) (local.get $nan) (f32x4.eq (local.get $c) (local.get $c))))
        (v128.store offset=48 (local.get $into)
          (v128.bitselect (local.get $d) (local.get $nan) (f32x4.eq (local.get $d) (local.get $d))))
        (local.set $into (i32.add (local.get $into) (i32.const 64)))
        (local.set $left (i32.add (local.get $left) (i32.const 64)))
        (local.set $right (i32.add (local.get $right) (i32.const 64)))
        (br $next))))

  ;; into[i] = from[i] * factor; `into` may be `from`.
  (func (export "scale") (param $into i32) (param $from i32) (param $factor f32) (param $count i32)
    (local $end i32) (local $nan v128) (local $f v128) (local $a v128) (local $b v128)
    (local.set $nan (v128.const i32x4 0x7fc00000 0x7fc00000 0x7fc00000 0x7fc00000))
    (local.set $f (f32x4.splat (local.get $factor)))
    (local.set $end (i32.add (local.get $into) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $into) (local.get $end)))
        (local.set $a (f32x4.mul (v128.load (local.get $from)) (local.get $f)))
        (local.set $b (f32x4.mul (v128.load offset=16 (local.get $from)) (local.get $f)))
        (v128.store (local.get $into)
          (v128.bitselect (local.get $a) (local.get $nan) (f32x4.eq (local.get $a) (local.get $a))))
        (v128.store offset=16 (local.get $into)
          (v128.bitselect (local.get $b) (local.get $nan) (f32x4.eq (local.get $b) (local.get $b))))
        (local.set $into (i32.add (local.get $into) (i32.const 32)))
        (local.set $from (i32.add (local.get $from) (i32.const 32)))
        (br $next))))

  ;; The bytes as they are; the two ranges do not overlap. A typed array's `set` on shared memory goes word by
  ;; word.
  (func (export "copy") (param $into i32) (param $from i32) (param $bytes i32)
    (memory.copy (local.get $into) (local.get $from) (local.get $bytes)))

  ;; The largest bits of the elements without their signs, as an integer. Bits of positive floats are ordered
  ;; as the floats are, with infinity (0x7f800000) and NaNs above all numbers. Integer maxima, because
  ;; f32x4.max has to order -0 and NaNs and costs several instructions in V8.
  (func $largest (export "largest") (param $from i32) (param $count i32) (result i32)
    (local $end i32) (local $mask v128) (local $a v128) (local $b v128)
    (local.set $mask (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff))
    (local.set $end (i32.add (local.get $from) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
        (local.set $a (i32x4.max_s (local.get $a) (v128.and (v128.load (local.get $from)) (local.get $mask))))
        (local.set $b (i32x4.max_s (local.get $b) (v128.and (v128.load offset=16 (local.get $from)) (local.get $mask))))
        (local.set $a (i32x4.max_s (local.get $a) (v128.and (v128.load offset=32 (local.get $from)) (local.get $mask))))
        (local.set $b (i32x4.max_s (local.get $b) (v128.and (v128.load offset=48 (local.get $from)) (local.get $mask))))
        (local.set $from (i32.add (local.get $from) (i32.const 64)))
        (br $next)))
    (local.set $a (i32x4.max_s (local.get $a) (local.get $b)))
    ;; Fold the upper half onto the lower, then lane 1 onto lane 0.
    (local.set $a (i32x4.max_s (local.get $a)
      (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $a) (local.get $a))))
    (local.set $a (i32x4.max_s (local.get $a)
      (i8x16.shuffle 4 5 6 7 0 1 2 3 12 13 14 15 8 9 10 11 (local.get $a) (local.get $a))))
    (i32x4.extract_lane 0 (local.get $a)))

  ;; A fingerprint of the bytes, whose number is a multiple of 4: 64 bits in which every byte counts, and its place.
  ;; It has no key: it finds accidents, not forgeries. Over the words w[i], whole groups of four first:
  ;;
  ;;   s[i mod 4] += w[i]     t[i mod 4] += s[i mod 4]     32 bits each, as Fletcher's sums have it
  ;;
  ;; then the eight sums and the words that are left are folded by h = (h xor x) * 0x100000001b3 (FNV-1a, 64 bits).
  (func (export "fingerprint") (param $from i32) (param $bytes i32) (result i64)
    (local $end i32) (local $stop i32) (local $s v128) (local $t v128) (local $h i64) (local $prime i64)
    (local.set $prime (i64.const 0x100000001b3))
    (local.set $h (i64.const 0xcbf29ce484222325))
    (local.set $end (i32.add (local.get $from) (local.get $bytes)))
    (local.set $stop (i32.add (local.get $from) (i32.and (local.get $bytes) (i32.const -64))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $from) (local.get $stop)))
        (local.set $s (i32x4.add (local.get $s) (v128.load (local.get $from))))
        (local.set $t (i32x4.add (local.get $t) (local.get $s)))
        (local.set $s (i32x4.add (local.get $s) (v128.load offset=16 (local.get $from))))
        (local.set $t (i32x4.add (local.get $t) (local.get $s)))
        (local.set $s (i32x4.add (local.get $s) (v128.load offset=32 (local.get $from))))
        (local.set $t (i32x4.add (local.get $t) (local.get $s)))
        (local.set $s (i32x4.add (local.get $s) (v128.load offset=48 (local.get $from))))
        (local.set $t (i32x4.add (local.get $t) (local.get $s)))
        (local.set $from (i32.add (local.get $from) (i32.const 64)))
        (br $next)))
    (local.set $stop (i32.add (local.get $from) (i32.and (i32.sub (local.get $end) (local.get $from)) (i32.const -16))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $from) (local.get $stop)))
        (local.set $s (i32x4.add (local.get $s) (v128.load (local.get $from))))
        (local.set $t (i32x4.add (local.get $t) (local.get $s)))
        (local.set $from (i32.add (local.get $from) (i32.const 16)))
        (br $next)))
    (local.set $h (i64.mul (local.get $prime)
      (i64.xor (local.get $h) (i64.extend_i32_u (i32x4.extract_lane 0 (local.get $s))))))
    (local.set $h (i64.mul (local.get $prime)
      (i64.xor (local.get $h) (i64.extend_i32_u (i32x4.extract_lane 1 (local.get $s))))))
    (local.set $h (i64.mul (local.get $prime)
      (i64.xor (local.get $h) (i64.extend_i32_u (i32x4.extract_lane 2 (local.get $s))))))
    (local.set $h (i64.mul (local.get $prime)
      (i64.xor (local.get $h) (i64.extend_i32_u (i32x4.extract_lane 3 (local.get $s))))))
    (local.set $h (i64.mul (local.get $prime)
      (i64.xor (local.get $h) (i64.extend_i32_u (i32x4.extract_lane 0 (local.get $t))))))
    (local.set $h (i64.mul (local.get $prime)
      (i64.xor (local.get $h) (i64.extend_i32_u (i32x4.extract_lane 1 (local.get $t))))))
    (local.set $h (i64.mul (local.get $prime)
      (i64.xor (local.get $h) (i64.extend_i32_u (i32x4.extract_lane 2 (local.get $t))))))
    (local.set $h (i64.mul (local.get $prime)
      (i64.xor (local.get $h) (i64.extend_i32_u (i32x4.extract_lane 3 (local.get $t))))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
        (local.set $h (i64.mul (local.get $prime) (i64.xor (local.get $h) (i64.load32_u (local.get $from)))))
        (local.set $from (i32.add (local.get $from) (i32.const 4)))
        (br $next)))
    (local.get $h))

  ;; float32 to bfloat16, two bytes an element; `to` does not overlap `from`. The carry of a NaN could give
  ;; infinity or zero, so NaNs are replaced. V8 does not inline calls between functions of a module, hence the
  ;; repetition here and below.
  (func (export "encodeBf16") (param $to i32) (param $from i32) (param $count i32)
    (local $end i32) (local $a v128) (local $b v128) (local $half v128) (local $one v128) (local $nan v128)
    (local.set $half (v128.const i32x4 0x7fff 0x7fff 0x7fff 0x7fff))
    (local.set $one (v128.const i32x4 1 1 1 1))
    (local.set $nan (v128.const i32x4 0x7fc0 0x7fc0 0x7fc0 0x7fc0))
    (local.set $end (i32.add (local.get $to) (i32.shl (local.get $count) (i32.const 1))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $to) (local.get $end)))
        (local.set $a (v128.load (local.get $from)))
        (local.set $b (v128.load offset=16 (local.get $from)))
        (v128.store (local.get $to)
          (i16x8.narrow_i32x4_u
            (v128.bitselect
              (i32x4.shr_u
                (i32x4.add
                  (i32x4.add (local.get $a) (local.get $half))
                  (v128.and (i32x4.shr_u (local.get $a) (i32.const 16)) (local.get $one)))
                (i32.const 16))
              (local.get $nan)
              (f32x4.eq (local.get $a) (local.get $a)))
            (v128.bitselect
              (i32x4.shr_u
                (i32x4.add
                  (i32x4.add (local.get $b) (local.get $half))
                  (v128.and (i32x4.shr_u (local.get $b) (i32.const 16)) (local.get $one)))
                (i32.const 16))
              (local.get $nan)
              (f32x4.eq (local.get $b) (local.get $b)))))
        (local.set $to (i32.add (local.get $to) (i32.const 16)))
        (local.set $from (i32.add (local.get $from) (i32.const 32)))
        (br $next))))

  ;; bfloat16 to float32, exact: the lower half of each element becomes zero.
  (func (export "decodeBf16") (param $into i32) (param $from i32) (param $count i32)
    (local $end i32) (local $x v128)
    (local.set $end (i32.add (local.get $into) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $into) (local.get $end)))
        (local.set $x (v128.load (local.get $from)))
        (v128.store (local.get $into) (i32x4.shl (i32x4.extend_low_i16x8_u (local.get $x)) (i32.const 16)))
        (v128.store offset=16 (local.get $into)
          (i32x4.shl (i32x4.extend_high_i16x8_u (local.get $x)) (i32.const 16)))
        (local.set $into (i32.add (local.get $into) (i32.const 32)))
        (local.set $from (i32.add (local.get $from) (i32.const 16)))
        (br $next))))

  ;; into[i] = left[i] + decoded right[i]; `into` may be `left`.
  (func (export "addBf16") (param $into i32) (param $left i32) (param $right i32) (param $count i32)
    (local $end i32) (local $nan v128) (local $x v128) (local $a v128) (local $b v128)
    (local.set $nan (v128.const i32x4 0x7fc00000 0x7fc00000 0x7fc00000 0x7fc00000))
    (local.set $end (i32.add (local.get $into) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $into) (local.get $end)))
        (local.set $x (v128.load (local.get $right)))
        (local.set $a (f32x4.add (v128.load (local.get $left))
          (i32x4.shl (i32x4.extend_low_i16x8_u (local.get $x)) (i32.const 16))))
        (local.set $b (f32x4.add (v128.load offset=16 (local.get $left))
          (i32x4.shl (i32x4.extend_high_i16x8_u (local.get $x)) (i32.const 16))))
        (v128.store (local.get $into)
          (v128.bitselect (local.get $a) (local.get $nan) (f32x4.eq (local.get $a) (local.get $a))))
        (v128.store offset=16 (local.get $into)
          (v128.bitselect (local.get $b) (local.get $nan) (f32x4.eq (local.get $b) (local.get $b))))
        (local.set $into (i32.add (local.get $into) (i32.const 32)))
        (local.set $left (i32.add (local.get $left) (i32.const 32)))
        (local.set $right (i32.add (local.get $right) (i32.const 16)))
        (br $next))))

  ;; float32 to int8 of x[i] = from[i] + carried[i]. `carried` is a vector like `from` when `stride` is 1024,
  ;; or one block for all when it is 0. `residual[i]` becomes r of x[i]; it may be `from` or `carried` itself,
  ;; because elements are read for the last time before their residuals are written. The scale is stored times
  ;; `factor`, so that a receiver decodes the scaled image, while r stays that of the image without it.
  ;;
  ;; Two kinds of blocks have no scale. Where all numbers are below 2^-119, scale or inverse would leave the
  ;; normal numbers: the image is all zeros, and the block stays wholly in the residual. A block with an
  ;; infinity or NaN has the scale NaN, so it decodes to NaN throughout, and leaves nothing: a residual of it
  ;; would poison later steps too.
  ;;
  ;; Rounding: x * (127 / top) lies within -127..127 up to a rounding. Adding 1.5 * 2^23 shifts it to where
  ;; float32 has a spacing of 1, so the addition itself rounds to the nearest integer, ties to even, and
  ;; leaves the integer in the lower bits. i32x4.trunc_sat would be several times slower in V8, and truncates.
  (func (export "encodeInt8")
    (param $to i32) (param $from i32) (param $carried i32) (param $stride i32) (param $residual i32) (param $factor f32)
    (param $count i32)
    (local $end i32) (local $stop i32) (local $at i32) (local $top i32) (local $scale f32) (local $s v128)
    (local $inverse v128) (local $mask v128) (local $magic v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local $qa v128) (local $qb v128) (local $qc v128) (local $qd v128)
    (local.set $mask (v128.const i32x4 0x7fffffff 0x7fffffff 0x7fffffff 0x7fffffff))
    (local.set $magic (v128.const f32x4 12582912 12582912 12582912 12582912))
    (local.set $end (i32.add (local.get $from) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $block
        (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
        ;; top: the largest |x| of the block, as bits.
        (local.set $a (v128.const i32x4 0 0 0 0))
        (local.set $b (v128.const i32x4 0 0 0 0))
        (local.set $at (i32.const 0))
        (loop $look
          (local.set $a (i32x4.max_s (local.get $a) (v128.and (local.get $mask)
            (f32x4.add
              (v128.load (i32.add (local.get $from) (local.get $at)))
              (v128.load (i32.add (local.get $carried) (local.get $at)))))))
          (local.set $b (i32x4.max_s (local.get $b) (v128.and (local.get $mask)
            (f32x4.add
              (v128.load offset=16 (i32.add (local.get $from) (local.get $at)))
              (v128.load offset=16 (i32.add (local.get $carried) (local.get $at)))))))
          (local.set $at (i32.add (local.get $at) (i32.const 32)))
          (br_if $look (i32.lt_u (local.get $at) (i32.const 1024))))
        (local.set $a (i32x4.max_s (local.get $a) (local.get $b)))
        (local.set $a (i32x4.max_s (local.get $a)
          (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $a) (local.get $a))))
        (local.set $a (i32x4.max_s (local.get $a)
          (i8x16.shuffle 4 5 6 7 0 1 2 3 12 13 14 15 8 9 10 11 (local.get $a) (local.get $a))))
        (local.set $top (i32x4.extract_lane 0 (local.get $a)))
        (local.set $at (i32.const 0))
        (if (i32.or (i32.lt_u (local.get $top) (i32.const 0x04000000)) (i32.ge_u (local.get $top) (i32.const 0x7f800000)))
          (then
            (memory.fill (i32.add (local.get $to) (i32.const 4)) (i32.const 0) (i32.const 256))
            (if (i32.ge_u (local.get $top) (i32.const 0x7f800000))
              (then
                (i32.store (local.get $to) (i32.const 0x7fc00000))
                (memory.fill (local.get $residual) (i32.const 0) (i32.const 1024)))
              (else
                (i32.store (local.get $to) (i32.const 0))
                (loop $keep
                  (v128.store (i32.add (local.get $residual) (local.get $at))
                    (f32x4.add
                      (v128.load (i32.add (local.get $from) (local.get $at)))
                      (v128.load (i32.add (local.get $carried) (local.get $at)))))
                  (local.set $at (i32.add (local.get $at) (i32.const 16)))
                  (br_if $keep (i32.lt_u (local.get $at) (i32.const 1024))))))
            (local.set $to (i32.add (local.get $to) (i32.const 260)))
            (local.set $from (i32.add (local.get $from) (i32.const 1024)))
            (local.set $residual (i32.add (local.get $residual) (i32.const 1024))))
          (else
            (local.set $scale (f32.div (f32.reinterpret_i32 (local.get $top)) (f32.const 127)))
            (local.set $s (f32x4.splat (local.get $scale)))
            (local.set $inverse (f32x4.splat (f32.div (f32.const 127) (f32.reinterpret_i32 (local.get $top)))))
            (f32.store (local.get $to) (f32.mul (local.get $scale) (local.get $factor)))
            (local.set $to (i32.add (local.get $to) (i32.const 4)))
            (local.set $stop (i32.add (local.get $to) (i32.const 256)))
            (loop $next
              (local.set $a (f32x4.add
                (v128.load (local.get $from))
                (v128.load (i32.add (local.get $carried) (local.get $at)))))
              (local.set $b (f32x4.add
                (v128.load offset=16 (local.get $from))
                (v128.load offset=16 (i32.add (local.get $carried) (local.get $at)))))
              (local.set $c (f32x4.add
                (v128.load offset=32 (local.get $from))
                (v128.load offset=32 (i32.add (local.get $carried) (local.get $at)))))
              (local.set $d (f32x4.add
                (v128.load offset=48 (local.get $from))
                (v128.load offset=48 (i32.add (local.get $carried) (local.get $at)))))
              (local.set $qa (f32x4.add (f32x4.mul (local.get $a) (local.get $inverse)) (local.get $magic)))
              (local.set $qb (f32x4.add (f32x4.mul (local.get $b) (local.get $inverse)) (local.get $magic)))
              (local.set $qc (f32x4.add (f32x4.mul (local.get $c) (local.get $inverse)) (local.get $magic)))
              (local.set $qd (f32x4.add (f32x4.mul (local.get $d) (local.get $inverse)) (local.get $magic)))
              (v128.store (local.get $residual)
                (f32x4.sub (local.get $a) (f32x4.mul (f32x4.sub (local.get $qa) (local.get $magic)) (local.get $s))))
              (v128.store offset=16 (local.get $residual)
                (f32x4.sub (local.get $b) (f32x4.mul (f32x4.sub (local.get $qb) (local.get $magic)) (local.get $s))))
              (v128.store offset=32 (local.get $residual)
                (f32x4.sub (local.get $c) (f32x4.mul (f32x4.sub (local.get $qc) (local.get $magic)) (local.get $s))))
              (v128.store offset=48 (local.get $residual)
                (f32x4.sub (local.get $d) (f32x4.mul (f32x4.sub (local.get $qd) (local.get $magic)) (local.get $s))))
              (v128.store (local.get $to)
                (i8x16.narrow_i16x8_s
                  (i16x8.narrow_i32x4_s
                    (i32x4.sub (local.get $qa) (local.get $magic))
                    (i32x4.sub (local.get $qb) (local.get $magic)))
                  (i16x8.narrow_i32x4_s
                    (i32x4.sub (local.get $qc) (local.get $magic))
                    (i32x4.sub (local.get $qd) (local.get $magic)))))
              (local.set $to (i32.add (local.get $to) (i32.const 16)))
              (local.set $from (i32.add (local.get $from) (i32.const 64)))
              (local.set $residual (i32.add (local.get $residual) (i32.const 64)))
              (local.set $at (i32.add (local.get $at) (i32.const 64)))
              (br_if $next (i32.lt_u (local.get $to) (local.get $stop))))))
        (local.set $carried (i32.add (local.get $carried) (local.get $stride)))
        (br $block))))

  ;; into[i] = image of from[i]: q * scale.
  (func (export "decodeInt8") (param $into i32) (param $from i32) (param $count i32)
    (local $end i32) (local $stop i32) (local $nan v128) (local $s v128) (local $q v128) (local $a v128) (local $b v128)
    (local.set $nan (v128.const i32x4 0x7fc00000 0x7fc00000 0x7fc00000 0x7fc00000))
    (local.set $end (i32.add (local.get $into) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $block
        (br_if $done (i32.ge_u (local.get $into) (local.get $end)))
        (local.set $s (v128.load32_splat (local.get $from)))
        (local.set $from (i32.add (local.get $from) (i32.const 4)))
        (local.set $stop (i32.add (local.get $from) (i32.const 256)))
        (loop $next
          (local.set $q (v128.load8x8_s (local.get $from)))
          (local.set $a (f32x4.mul (f32x4.convert_i32x4_s (i32x4.extend_low_i16x8_s (local.get $q))) (local.get $s)))
          (local.set $b (f32x4.mul (f32x4.convert_i32x4_s (i32x4.extend_high_i16x8_s (local.get $q))) (local.get $s)))
          (v128.store (local.get $into)
            (v128.bitselect (local.get $a) (local.get $nan) (f32x4.eq (local.get $a) (local.get $a))))
          (v128.store offset=16 (local.get $into)
            (v128.bitselect (local.get $b) (local.get $nan) (f32x4.eq (local.get $b) (local.get $b))))
          (local.set $into (i32.add (local.get $into) (i32.const 32)))
          (local.set $from (i32.add (local.get $from) (i32.const 8)))
          (br_if $next (i32.lt_u (local.get $from) (local.get $stop))))
        (br $block))))

  ;; into[i] = left[i] + image of right[i]; `into` may be `left`.
  (func (export "addInt8") (param $into i32) (param $left i32) (param $right i32) (param $count i32)
    (local $end i32) (local $stop i32) (local $nan v128) (local $s v128) (local $q v128) (local $a v128) (local $b v128)
    (local.set $nan (v128.const i32x4 0x7fc00000 0x7fc00000 0x7fc00000 0x7fc00000))
    (local.set $end (i32.add (local.get $into) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $block
        (br_if $done (i32.ge_u (local.get $into) (local.get $end)))
        (local.set $s (v128.load32_splat (local.get $right)))
        (local.set $right (i32.add (local.get $right) (i32.const 4)))
        (local.set $stop (i32.add (local.get $right) (i32.const 256)))
        (loop $next
          (local.set $q (v128.load8x8_s (local.get $right)))
          (local.set $a (f32x4.add (v128.load (local.get $left))
            (f32x4.mul (f32x4.convert_i32x4_s (i32x4.extend_low_i16x8_s (local.get $q))) (local.get $s))))
          (local.set $b (f32x4.add (v128.load offset=16 (local.get $left))
            (f32x4.mul (f32x4.convert_i32x4_s (i32x4.extend_high_i16x8_s (local.get $q))) (local.get $s))))
          (v128.store (local.get $into)
            (v128.bitselect (local.get $a) (local.get $nan) (f32x4.eq (local.get $a) (local.get $a))))
          (v128.store offset=16 (local.get $into)
            (v128.bitselect (local.get $b) (local.get $nan) (f32x4.eq (local.get $b) (local.get $b))))
          (local.set $into (i32.add (local.get $into) (i32.const 32)))
          (local.set $left (i32.add (local.get $left) (i32.const 32)))
          (local.set $right (i32.add (local.get $right) (i32.const 8)))
          (br_if $next (i32.lt_u (local.get $right) (local.get $stop))))
        (br $block))))
)
