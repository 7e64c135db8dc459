//go:build tools

package deps

import (
	_ "honnef.co/go/tools/cmd/staticcheck"
)
