module example.com/divvyflags

go 1.26.0

require (
	github.com/dunglas/httpsfv v1.1.2
	github.com/open-feature/go-sdk v1.20.0
)

require go.uber.org/mock v0.6.0 // indirect
