package main

import (
	"fmt"
	"image"
	_ "image/gif" // the formats that screenshots and photographs come in
	_ "image/jpeg"
	_ "image/png"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

const (
	// maxPicture is more than what a phone's camera makes.
	maxPicture = 40 << 20
	// maxPixels bounds the memory that a few bytes can ask for: 20 million pixels, a good
	// camera's picture, take some 200 MB on the way.
	maxPixels = 20_000_000
)

// namesPicture says whether a name is one of a picture that readQR can read.
func namesPicture(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".png", ".jpg", ".jpeg", ".gif":
		return !strings.Contains(name, "://")
	}
	return false
}

// readQR finds the QR code in a picture.
func readQR(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	config, _, err := image.DecodeConfig(io.LimitReader(f, maxPicture))
	if err != nil {
		return "", refuse(exitData, "%s is not a picture that can be read (PNG, JPEG or GIF)", clean(path))
	}
	if config.Width <= 0 || config.Height <= 0 || config.Width > maxPixels/config.Height {
		return "", refuse(exitData, "the picture %s is too large: cut out the QR code", clean(path))
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	picture, _, err := image.Decode(io.LimitReader(f, maxPicture))
	if err != nil {
		return "", refuse(exitData, "the picture %s is damaged", clean(path))
	}
	text, err := decodeQR(picture)
	if err != nil {
		return "", refuse(exitData, "no QR code was found in %s\na sharper picture, or one of the code alone, may do", clean(path))
	}
	return text, nil
}

// decodeQR looks for a code, and once more with every effort.
func decodeQR(picture image.Image) (text string, err error) {
	defer func() {
		if r := recover(); r != nil { // the decoder indexes into what it believes to be a code
			text, err = "", fmt.Errorf("QR decoder: %v", r)
		}
	}()
	bitmap, err := gozxing.NewBinaryBitmapFromImage(picture)
	if err != nil {
		return "", err
	}
	reader := qrcode.NewQRCodeReader()
	result, err := reader.Decode(bitmap, nil)
	if err != nil {
		result, err = reader.Decode(bitmap, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_TRY_HARDER: true})
	}
	if err != nil {
		return "", err
	}
	return result.GetText(), nil
}
