package main

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"mailbridge/web"
)

const someLink = "https://i.delta.chat/#0123456789ABCDEF0123456789ABCDEF01234567&v=3&i=QnJpZGdlSW52aXRlTm8tMDAx&s=QXV0aFRva2VuRXhhbXBsZTAx&a=ada%40example.org&n=Ada+L."

// picture draws a QR code into a larger, not quite white picture.
func picture(t *testing.T, text string) image.Image {
	t.Helper()
	code, err := qrCode(text)
	if err != nil {
		t.Fatal(err)
	}
	small, err := png.Decode(bytes.NewReader(code.PNG()))
	if err != nil {
		t.Fatal(err)
	}
	canvas := image.NewRGBA(image.Rect(0, 0, 900, 700))
	draw.Draw(canvas, canvas.Bounds(), image.NewUniform(color.RGBA{240, 235, 230, 255}), image.Point{}, draw.Src)
	draw.Draw(canvas, small.Bounds().Add(image.Pt(200, 120)), small, image.Point{}, draw.Src)
	return canvas
}

func TestReadQR(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var asPNG, asJPEG, empty bytes.Buffer
	if err := errors.Join(png.Encode(&asPNG, picture(t, someLink)), jpeg.Encode(&asJPEG, picture(t, someLink), &jpeg.Options{Quality: 60}),
		png.Encode(&empty, image.NewGray(image.Rect(0, 0, 300, 300)))); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"screen.png": asPNG.Bytes(), "photo.jpg": asJPEG.Bytes()} {
		if got, err := readQR(write(name, content)); err != nil || got != someLink {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	huge := bytes.Clone(asPNG.Bytes())
	copy(huge[16:24], []byte{0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff}) // the width and height of its header
	for name, content := range map[string][]byte{
		"text.png": []byte("not a picture"), "empty.png": empty.Bytes(), "cut.png": asPNG.Bytes()[:asPNG.Len()/2], "huge.png": huge,
	} {
		_, err := readQR(write(name, content))
		if refusal, ok := errors.AsType[*web.Error](err); !ok || refusal.Exit != exitData {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecodeQR(f *testing.F) {
	f.Add([]byte{0, 255, 0, 255}, 8)
	f.Fuzz(func(t *testing.T, pixels []byte, width int) {
		if width <= 0 || width > 256 || len(pixels) < width {
			return
		}
		_, _ = decodeQR(&image.Gray{Pix: pixels, Stride: width, Rect: image.Rect(0, 0, width, len(pixels)/width)})
	})
}
