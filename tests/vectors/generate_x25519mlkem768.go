// Computes tests/vectors/x25519mlkem768.json: exchanges of the group X25519MLKEM768, with Go's own ML-KEM and X25519.
//
// Shares no code with the project. Run it as
// `go run tests/vectors/generate_x25519mlkem768.go > tests/vectors/x25519mlkem768.json` (Go 1.26 or newer); the result
// depends on nothing but this file. FIPS 203; draft-ietf-tls-ecdhe-mlkem: ML-KEM's part comes first everywhere.
package main

import (
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"crypto/sha3"
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
)

type exchange struct {
	// d ‖ z of ML-KEM.KeyGen, then the client's X25519 key.
	ClientSeed  string `json:"clientSeed"`
	ClientShare string `json:"clientShare"`
	// m of ML-KEM.Encaps, then the server's X25519 key.
	ServerSeed  string `json:"serverSeed"`
	ServerShare string `json:"serverShare"`
	Secret      string `json:"secret"`
	// The secret at the client when byte 700 of the server's share is changed by xor 1 (implicit rejection).
	RejectedSecret string `json:"rejectedSecret"`
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// sample gives bytes that look random and are the same every time.
func sample(name string, length int) []byte {
	return sha3.SumSHAKE256([]byte(name), length)
}

func join(parts ...[]byte) string {
	var all []byte
	for _, part := range parts {
		all = append(all, part...)
	}
	return hex.EncodeToString(all)
}

func compute(name string) exchange {
	keySeed, clientScalar := sample(name+" key", mlkem.SeedSize), sample(name+" client", 32)
	message, serverScalar := sample(name+" message", 32), sample(name+" server", 32)

	key := must(mlkem.NewDecapsulationKey768(keySeed))
	shared, ciphertext, err := mlkemtest.Encapsulate768(key.EncapsulationKey(), message)
	if err != nil {
		panic(err)
	}
	client := must(ecdh.X25519().NewPrivateKey(clientScalar))
	server := must(ecdh.X25519().NewPrivateKey(serverScalar))
	agreed := must(client.ECDH(server.PublicKey()))
	altered := append([]byte(nil), ciphertext...)
	altered[700] ^= 1

	return exchange{
		ClientSeed:     join(keySeed, clientScalar),
		ClientShare:    join(key.EncapsulationKey().Bytes(), client.PublicKey().Bytes()),
		ServerSeed:     join(message, serverScalar),
		ServerShare:    join(ciphertext, server.PublicKey().Bytes()),
		Secret:         join(shared, agreed),
		RejectedSecret: join(must(key.Decapsulate(altered)), agreed),
	}
}

func main() {
	var exchanges []exchange
	for i := range 4 {
		exchanges = append(exchanges, compute("x25519mlkem768 "+strconv.Itoa(i)))
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(exchanges); err != nil {
		panic(err)
	}
}
