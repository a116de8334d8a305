package openrpc

// Never are the answers of the specification's that no node of this kind gives, with the reason.
var Never = Reasons{
	"starknet_getMessagesStatus": {Result: "there is no L1 whose transactions could be known"},
	"starknet_getCompiledCasm":   {100: "a class is compiled before it is declared, and kept compiled"},
}
