// Makes a picture smaller in the browser: a JPEG of at most 2,048 pixels a side, upright.

const SIDE = 2048;

/** A JPEG file of `file`, or null if this browser cannot read the picture. */
export async function shrink(file) {
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
    const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff"; // a JPEG has no transparency, and black would be part of the picture
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
    return blob && new File([blob], file.name.replace(/\.\w*$/, "") + ".jpg", { type: "image/jpeg" });
  } catch {
    return null;
  }
}
