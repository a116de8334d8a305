//go:build !purego

#include "textflag.h"
#include "ifma_field_amd64.h"
#include "hades_amd64.h"

// func forwardIFMA(p, q *Points, dx, products, acc *Block, n int)
TEXT ·forwardIFMA(SB), NOSPLIT, $0-48
	MOVQ p+0(FP), DI
	MOVQ q+8(FP), SI
	MOVQ dx+16(FP), DX
	MOVQ products+24(FP), R8
	MOVQ acc+32(FP), R9
	MOVQ n+40(FP), CX
#include "forward_amd64.h"

// func backwardIFMA(p, q *Points, dx, products, acc *Block, n int)
TEXT ·backwardIFMA(SB), NOSPLIT, $0-48
	MOVQ p+0(FP), DI
	MOVQ q+8(FP), SI
	MOVQ dx+16(FP), DX
	MOVQ products+24(FP), R8
	MOVQ acc+32(FP), R9
	MOVQ n+40(FP), CX
#include "backward_amd64.h"

// func permuteIFMA(state *[3]Block, input *[2]Block, rounds *uint64)
TEXT ·permuteIFMA(SB), NOSPLIT, $0-24
	MOVQ state+0(FP), DI
	MOVQ input+8(FP), DX
	MOVQ rounds+16(FP), SI
#include "permute_amd64.h"
