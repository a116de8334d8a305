package rpc

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/ordo-sequencer/ordo/core/crash"
	"github.com/ordo-sequencer/ordo/core/gateway"
	"github.com/ordo-sequencer/ordo/core/internal/jsonin"
	"github.com/ordo-sequencer/ordo/core/internal/limiter"
	"github.com/ordo-sequencer/ordo/core/internal/retry"
	"github.com/ordo-sequencer/ordo/core/mempool"
	ordov1 "github.com/ordo-sequencer/ordo/sdk/proto/ordo/v1"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Errors that the specification leaves to the node, in the range that JSON-RPC has for them. Trying again later may help, but
// for codeCrash.
const (
	codeBusy  Code = -32005 // a limit of the node is reached by all clients together
	codeAway  Code = -32006 // a stage is being restarted, or does not answer
	codeCrash Code = -32008 // this request ended the execution plugin
)

func specError(code Code, message string) *Error {
	return &Error{Code: code, Message: message}
}

// The specification's errors, with its very words.
var (
	errNoTrace             = specError(10, "No trace available for transaction")
	errContractNotFound    = specError(20, "Contract not found")
	errEntrypointNotFound  = specError(21, "Requested entry point does not exist in the contract")
	errBlockNotFound       = specError(24, "Block not found")
	errInvalidIndex        = specError(27, "Invalid transaction index in a block")
	errClassNotFound       = specError(28, "Class hash not found")
	errTransactionNotFound = specError(29, "Transaction hash not found")
	errPageTooBig          = specError(31, "Requested page size is too big")
	errNoBlocks            = specError(32, "There are no blocks")
	errBadToken            = specError(33, "The supplied continuation token is invalid or unknown")
	errTooManyKeys         = specError(34, "Too many keys provided in a filter")
	errContract            = specError(40, "Contract error")
	errExecution           = specError(41, "Transaction execution error")

	errAlreadyDeclared      = specError(51, "Class already declared")
	errInvalidNonce         = specError(52, "Invalid transaction nonce")
	errResources            = specError(53, "The transaction's resources don't cover validation or the minimal transaction fee")
	errBalance              = specError(54, "Account balance is smaller than the transaction's maximal fee (calculated as the sum of each resource's limit x max price)")
	errValidation           = specError(55, "Account validation failed")
	errCompilation          = specError(56, "Compilation failed")
	errClassTooLarge        = specError(57, "Contract class size is too large")
	errNonAccount           = specError(58, "Sender address is not an account contract")
	errDuplicate            = specError(59, "A transaction with the same hash already exists in the mempool")
	errCompiledHash         = specError(60, "the compiled class hash did not match the one supplied in the transaction")
	errTransactionVersion   = specError(61, "the transaction version is not supported")
	errContractClassVersion = specError(62, "the contract class version is not supported")
	errUnexpected           = specError(63, "An unexpected error occurred")
	errUnderpriced          = specError(64, "Replacement transaction is underpriced")
	errFeeBelowMinimum      = specError(65, "Transaction fee below minimum")
	errBadSubscription      = specError(66, "Invalid subscription id")
	errTooManyAddresses     = specError(67, "Too many addresses in filter sender_address filter")
	errTooFarBack           = specError(68, "Cannot go back more than 1024 blocks")
	errInvalidProof         = specError(69, "The proof field in the invoke v3 transaction is invalid")
)

// rejections maps what execution says to the error of the same name.
var rejections = map[ordov1.RejectionCode]*Error{
	ordov1.RejectionCode_INVALID_NONCE:                errInvalidNonce,
	ordov1.RejectionCode_INSUFFICIENT_RESOURCES:       errResources,
	ordov1.RejectionCode_INSUFFICIENT_BALANCE:         errBalance,
	ordov1.RejectionCode_VALIDATION_FAILURE:           errValidation,
	ordov1.RejectionCode_CLASS_ALREADY_DECLARED:       errAlreadyDeclared,
	ordov1.RejectionCode_CLASS_NOT_DECLARED:           errClassNotFound,
	ordov1.RejectionCode_COMPILED_CLASS_HASH_MISMATCH: errCompiledHash,
	ordov1.RejectionCode_COMPILATION_FAILED:           errCompilation,
	ordov1.RejectionCode_CLASS_TOO_LARGE:              errClassTooLarge,
	ordov1.RejectionCode_NON_ACCOUNT:                  errNonAccount,
	ordov1.RejectionCode_FEE_BELOW_MINIMUM:            errFeeBelowMinimum,
	ordov1.RejectionCode_UNSUPPORTED_CLASS_VERSION:    errContractClassVersion,
	ordov1.RejectionCode_TRANSACTION_TOO_LARGE:        errUnexpected,
	ordov1.RejectionCode_INVALID_PROOF:                errInvalidProof,
	ordov1.RejectionCode_OTHER:                        errUnexpected,
	ordov1.RejectionCode_MEMORY_EXCEEDED:              errUnexpected,
}

// outcomes maps what the gateway and the pool say.
var outcomes = []struct {
	is error
	as *Error
}{
	{gateway.ErrUnsupportedVersion, errTransactionVersion},
	{mempool.ErrDuplicate, errDuplicate},
	{mempool.ErrUnderpriced, errUnderpriced},
	{mempool.ErrExecuting, errInvalidNonce},
	{mempool.ErrNonceTooOld, errInvalidNonce},
	{mempool.ErrNonceTooFar, errInvalidNonce},
	{mempool.ErrFull, errUnexpected},
	{mempool.ErrShare, errUnexpected},
}

// clientError turns an error of a method into what the client reads. ok is false for a fault of the node.
func clientError(err error) (e *Error, ok bool) {
	if errors.As(err, &e) {
		return e, true
	}
	var shape *jsonin.Error
	if errors.As(err, &shape) {
		return Errorf(InvalidParams, "invalid params: %s", shape.Error()), true
	}
	var rejected *gateway.Rejection
	if errors.As(err, &rejected) {
		e, known := rejections[rejected.Code]
		if !known {
			e = errUnexpected
		}
		return withReason(e, rejected.Reason), true
	}
	var full *limiter.Busy
	if errors.As(err, &full) {
		return specError(codeBusy, full.Error()), true
	}
	var spent *limiter.Spent
	if errors.As(err, &spent) {
		return specError(codeBusy, spent.Error()), true
	}
	var paused *crash.Paused
	if errors.As(err, &paused) {
		return specError(codeBusy, paused.Error()), true
	}
	var crashed *crash.Refused
	if errors.As(err, &crashed) {
		return specError(codeCrash, crashed.Error()), true
	}
	var away *retry.Down
	if errors.As(err, &away) {
		return specError(codeAway, away.Error()), true
	}
	var late *retry.Late
	if errors.As(err, &late) {
		return specError(codeAway, late.Error()), true
	}
	if status.Code(err) == codes.Unimplemented {
		return specError(MethodNotFound, "not served by this node's plugins: "+status.Convert(err).Message()), true
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return specError(codeBusy, "busy: no answer within the time that this node gives a request: try again later"), true
	}
	for _, o := range outcomes {
		if errors.Is(err, o.is) {
			return withReason(o.as, err.Error()), true
		}
	}
	return nil, false
}

// isNotFound tells that an error is about a transaction that is not known.
func isNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == errTransactionNotFound.Code
}

// writeError is clientError for the methods that send transactions. They have a code of the specification for what the node
// cannot do, at this moment or because of a fault of its own; fault says which.
func writeError(err error) (e *Error, fault bool) {
	e, ok := clientError(err)
	switch {
	case ok && (e.Code == codeBusy || e.Code == codeAway || e.Code == codeCrash || e.Code == MethodNotFound):
		return withData(errUnexpected, e.Message), false
	case ok:
		return e, false
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return withData(errUnexpected, "the disk of the node is full, so it can promise nothing: try again later"), true
	}
	return withData(errUnexpected, err.Error()), true
}

// withData copies the error with data, in which < and & stay as they are.
func withData(e *Error, v any) *Error {
	data, err := encode(v)
	if err != nil {
		return e
	}
	return &Error{Code: e.Code, Message: e.Message, Data: data}
}

// withReason adds the reason as data. Where the specification wants a string there, it is never left out.
func withReason(e *Error, reason string) *Error {
	if reason == "" {
		switch e {
		case errInvalidNonce, errValidation, errCompilation, errUnexpected:
			reason = "no reason was given"
		default:
			return e
		}
	}
	return withData(e, reason)
}

const tooLong = "it ran longer than this node allows for a view (limits.view_timeout)"

// tooMuchMemory is why a view was ended; said is what the plugin says of it.
func tooMuchMemory(mib int, said string) string {
	why := fmt.Sprintf("it needs more memory than the %d MiB that this node gives to a view (limits.view_mib)", mib)
	if said != "" {
		why += ": " + said
	}
	return why
}

// viewError maps a failed call, estimate or simulation, which could have so many MiB.
func viewError(e *ordov1.ViewError, memory int) *Error {
	switch e.Code {
	case ordov1.ViewError_CONTRACT_NOT_FOUND:
		return errContractNotFound
	case ordov1.ViewError_ENTRYPOINT_NOT_FOUND:
		return errEntrypointNotFound
	case ordov1.ViewError_CLASS_NOT_FOUND:
		return errClassNotFound
	case ordov1.ViewError_STATE_NOT_FOUND:
		return errBlockNotFound
	case ordov1.ViewError_EXECUTION_ERROR:
		return withData(errExecution, map[string]any{"transaction_index": e.Index, "execution_error": contractError(e.Error)})
	case ordov1.ViewError_TIMEOUT:
		return withData(errContract, map[string]any{"revert_error": tooLong})
	case ordov1.ViewError_MEMORY:
		return withData(errContract, map[string]any{"revert_error": contractError(&ordov1.ContractError{Frames: e.Error.GetFrames(), Message: tooMuchMemory(memory, e.Error.GetMessage())})})
	}
	return withData(errContract, map[string]any{"revert_error": contractError(e.Error)})
}

// contractError nests the frames, outermost first, around the text.
func contractError(e *ordov1.ContractError) any {
	var nested any = e.GetMessage()
	frames := e.GetFrames()
	for i := len(frames) - 1; i >= 0; i-- {
		nested = struct {
			Contract hexFelt `json:"contract_address"`
			Class    hexFelt `json:"class_hash"`
			Selector hexFelt `json:"selector"`
			Error    any     `json:"error"`
		}{frames[i].Contract, frames[i].ClassHash, frames[i].Selector, nested}
	}
	return nested
}
